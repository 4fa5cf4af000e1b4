"""From the marks of a model in single frames to the lesions of a case, and to what should follow.

Pure functions of records: no files, no clock, no pixels, and no word of any organ.
"""
