"""Figures of a model on films whose truth is known, with their 95 % intervals.

Pure functions of numbers, in plain Python: reader and viewer use them, and these load no numpy.
"""
