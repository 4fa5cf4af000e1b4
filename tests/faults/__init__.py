"""Many modules: one a kind of fault, and the rigs that make it."""
