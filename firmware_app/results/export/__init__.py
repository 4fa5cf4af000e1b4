"""How a case leaves the box: de-identified into a folder, or sealed for the hospital."""
