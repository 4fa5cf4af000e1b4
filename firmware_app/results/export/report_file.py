"""`lantern case report --pdf`: the report of a case as one file, with the patient's name.

The frame is that of every export: off by default, in the audit before the first byte, whole or not at all.
"""

from __future__ import annotations

import os
from pathlib import Path

from firmware_app.cases.clinical_db import Clinical
from firmware_app.cases.exports import Exports
from firmware_app.core.errors import ExportThere
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import sync_directory
from firmware_app.results.export.departure import ExportOutcome, leaving
from firmware_app.results.export.folder import fresh_folder
from firmware_app.results.gathering import gathered
from firmware_app.results.pdf import making


def export_report(config: Config, clinical: Clinical, case: str, path: Path, *, person: str) -> Path:
    """Write the report of *case* to *path*, in the language of the box.

    Raises what `leaving`, `gathered` and `making.pdf_of` raise.
    """
    exports = Exports(clinical.database)
    with (
        leaving(config, exports, case, path.parent, path.name, person=person, looked=False, report=1) as export,
        fresh_folder(path.parent) as fresh,
    ):
        result = gathered(config, clinical, case)
        made = fresh / path.name
        with made.open("xb") as file:
            file.write(making.pdf_of(config, result, result.language))
            file.flush()
            os.fsync(file.fileno())
        export.is_named = True
        if os.path.lexists(export.final):
            raise ExportThere(path=str(export.final))
        made.rename(export.final)
        sync_directory(path.parent)
        export.outcomes = (ExportOutcome("pdf", path.name, {}),)
    return export.final
