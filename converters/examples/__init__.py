"""Recipes for networks of your own; see ``docs/your-own-model.md``."""
