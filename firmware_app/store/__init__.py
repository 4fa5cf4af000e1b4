"""What the box keeps: image files, the clinical database, and who may open them."""
