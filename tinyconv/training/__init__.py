"""Training: the loop, what it reports, and the folder a run leaves behind."""
