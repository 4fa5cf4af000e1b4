"""The reader's work: each instance gets one reading, by the right model or with the reason why no model may read it.

Many modules: one for each step of a reading.
"""
