"""How images come to the box: over DICOM, from a watched folder, by hand; all through one door, `accept.Door`."""
