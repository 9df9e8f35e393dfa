"""Training: losses, optimizer, schedules, observers and the loop that joins them."""
