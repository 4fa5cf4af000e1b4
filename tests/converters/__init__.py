"""Promises of the converters that train or export: they need the extra `convert`.

Many modules: one for each step of a recipe that can fail on its own.
"""
