"""Reports of a case: JSON, plain text and a film with its heat map.

Many modules: one for each thing that a report or page says of a case.
"""
