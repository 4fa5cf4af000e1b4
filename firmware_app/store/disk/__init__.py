"""The state directory and its plain files."""
