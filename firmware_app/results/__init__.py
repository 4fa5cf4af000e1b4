"""A case in every form in which it leaves the box: text, PDF, DICOM objects, FHIR, HL7, sealed export."""
