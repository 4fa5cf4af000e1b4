"""A recipe at work: its work folder, which of its steps are done, its device, and files that are whole or absent."""
