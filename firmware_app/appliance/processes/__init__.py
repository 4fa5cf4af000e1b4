"""The processes of the box, one file each."""
