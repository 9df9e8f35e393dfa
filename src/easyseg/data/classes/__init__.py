"""What the values and names of a dataset mean: its class map, found out once and said in one line."""
