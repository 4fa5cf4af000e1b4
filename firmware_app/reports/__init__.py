"""Reports of a case: as JSON, as plain text and as an image overlay."""
