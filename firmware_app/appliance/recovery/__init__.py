"""Backups, and what is done with a damaged database."""
