"""`lantern case export --dicom`: a case's result objects, with the patient's name, in a folder for an archive.

The archive is the clinic's own, so nothing is de-identified.  The frame is that of every export: off by
default, in the audit before the first byte, whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from firmware_app.cases.clinical_db import Clinical
from firmware_app.cases.exports import Exports
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import sync_directory
from firmware_app.results.dicom_objects.making_child import made_objects
from firmware_app.results.export.departure import ExportOutcome, leaving
from firmware_app.results.export.folder import fresh_folder, named
from firmware_app.results.gathering import gathered

SUFFIX = "-results"


def export_results(
    config: Config,
    clinical: Clinical,
    case: str,
    folder: Path,
    *,
    person: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Path | None, tuple[ExportOutcome, ...]]:
    """Write the result objects of *case* into a new folder in *folder*; returns its path and the result per object.

    Raises what `leaving`, `gathered` and `made_objects` raise.
    """
    exports, made = Exports(clinical.database), []
    with (
        leaving(config, exports, case, folder, f"{case}{SUFFIX}", person=person, looked=False, results=1) as export,
        fresh_folder(folder) as fresh,
    ):
        for one in made_objects(config, gathered(config, clinical, case), fresh):
            if isinstance(one, Reason):
                made.append(ExportOutcome("", None, {}, one))
            else:
                made.append(ExportOutcome(str(one["kind"]), str(one["file"]), one))
            if on_progress is not None:
                on_progress(len(made), len(made))
        export.outcomes = tuple(made)
        if export.left and export.left == len(made):
            sync_directory(fresh)
            export.is_named = True
            named(fresh, export.final)
        else:  # half a result could be taken for the whole
            export.outcomes = tuple(one for one in made if one.file is None)
    return export.written, export.outcomes
