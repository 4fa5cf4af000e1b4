"""The reader's child processes: decode, grab, inference, export and trial, one module for each.

`golden_cases` serves the inference child and the trial child. The reader's side of each child is a module of `reading`.
"""
