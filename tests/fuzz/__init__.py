"""Coverage-guided fuzzing of what opens bytes from outside: the door's header reader and the decode child's work."""
