"""The networks that our recipes train, one module each."""
