"""How good a model file is: out-of-fold predictions, metrics, the operating point, the gates."""
