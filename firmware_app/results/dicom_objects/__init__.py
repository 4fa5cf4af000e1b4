"""A case as DICOM objects for the PACS: structured report, marked pictures, segmentation, presentation state, document.

`results.case_view` gathers what the case says, `result_child` makes the objects in a process of its own.
"""
