"""How good a model file is: predictions, measures, gates."""
