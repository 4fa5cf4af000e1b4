"""Many modules: one a program of Lantern, run as it is run on a box; found by its name."""
