"""From trained networks to results: reading sources, running the network, measuring it."""
