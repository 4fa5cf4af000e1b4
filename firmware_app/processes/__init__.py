"""The seats: one file for each process that the box consists of."""
