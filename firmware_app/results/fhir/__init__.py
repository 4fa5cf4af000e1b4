"""A case as FHIR R4 resources for the clinic's information system: one Bundle that can be sent any number of times."""
