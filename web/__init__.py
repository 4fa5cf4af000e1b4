"""The viewer: what a doctor sees of the box, in a browser on the clinic's own network.

It shows what the reader has written: frames, heat maps, readings.  It opens no DICOM object and runs no model, so it
never imports `firmware_app.ingest` or `firmware_app.packs.runtimes`.

Many modules: one for each thing that pages share, or for what one large page is made of.
"""
