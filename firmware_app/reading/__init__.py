"""The reader's work: one instance becomes one reading, by the right model or with the reason why none may speak."""
