"""INT8 files by PTQ, accuracy control and QAT, and how long one film takes in a file."""
