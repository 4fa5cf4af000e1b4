"""Promises of the converters; those that train or export need the extra `convert`."""
