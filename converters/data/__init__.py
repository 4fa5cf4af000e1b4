"""Labelled films: read, split by patient, made ready."""
