"""The reader's child processes: decode, grab, inference, export, trial; and how the reader talks to them.

Many modules: one for each child, its other side, and what they share.
"""
