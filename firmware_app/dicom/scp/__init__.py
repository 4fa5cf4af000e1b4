"""Images over the network: the DICOM port (PS3.7, PS3.8)."""
