"""Training batches: which samples, in which order, from disk or memory, put upon each other."""
