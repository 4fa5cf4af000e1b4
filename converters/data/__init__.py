"""Labelled films: read, split by patient, made ready.

Many modules: one a form that films come in, or a rule that keeps them apart.
"""
