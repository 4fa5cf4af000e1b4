"""Many modules: one for each promise of the hospital's side."""
