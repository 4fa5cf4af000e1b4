"""What a model's tensors mean, one module per kind of answer behind one small interface (`packs.tasks.interface`).

A task knows tensors and its own part of a manifest; it knows no folders, no runtimes and no DICOM.
"""
