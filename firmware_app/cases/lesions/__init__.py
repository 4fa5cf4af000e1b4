"""From the marks of a model in single frames to the lesions of a case."""
