"""Reports of a case: JSON, plain text and a film with its heat map."""
