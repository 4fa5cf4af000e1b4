"""Many modules: one a module or promise of the code, found by its name."""
