"""What keeps the packs of this repository up to date without training; no step of a recipe imports it."""
