"""How images reach the box: over DICOM, from a watched folder, a stick or a command; all through `accept.Door`."""
