"""Slices ordered into volumes."""
