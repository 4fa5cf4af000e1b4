"""DICOM as protocol and encoding: headers, the association acceptor, the user of archives, DICOMweb. No pixels."""
