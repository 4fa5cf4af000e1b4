"""Render a case in a child process: its printed report as PDF, and its result objects as DICOM files.

A hostile header costs the child process and nothing else. No page waits longer for a report than a deadline, and no
page fails with it. A report that a doctor has signed stays byte for byte as it was first made.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from firmware_app.cases.result_versions import SignedReport
from firmware_app.core.child_process import Child, ChildLost, start_child
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.results.case_view import CaseView, case_view_adapter
from firmware_app.results.errors import RESULTS_GAVE_UP, ReportError, ReportFontMissing, ReportGaveUp

reports_log = logging.getLogger("lantern.reports")

_REPORT_MEMORY_MB: Final = 1024
_REPORT_SECONDS: Final = 60.0
_REPORT_REFUSALS: Final[dict[str, type[ReportError]]] = {ReportFontMissing.code: ReportFontMissing}


def render_pdf(config: Config, view: CaseView, language: str) -> bytes:
    """The report of *view* in *language*; what a doctor has signed stays byte for byte as it was first made.

    Raises `ReportFontMissing`, `ReportGaveUp` and `ChildWillNotStart`.
    """
    kept = _find_signed_report(config, view, language)
    made = kept.read() if kept is not None else None
    if made is None:
        made = _render_report(view, language)
        if kept is not None:
            kept.store(made)
    return made


def render_pdf_if_possible(config: Config, view: CaseView) -> bytes | None:
    """The report in the box's language; None on a box that has no Chinese font.

    What else is made of the result goes without it.  Raises `ReportGaveUp` and `ChildWillNotStart`, which may pass.
    """
    try:
        return render_pdf(config, view, view.language)
    except ReportFontMissing as error:
        reports_log.warning("the results of a case have no PDF: %s", error)
        return None


def _find_signed_report(config: Config, view: CaseView, language: str) -> SignedReport | None:
    if view.signed_state is None or view.case.reference is None:
        return None
    state = StateDir(config.state.dir)
    return SignedReport(state, view.case.reference, view.version, view.signed_state, language)


def _render_report(view: CaseView, language: str) -> bytes:
    child = start_child(_spawn_report_child(), _spawn_report_child)
    try:
        child.send({"language": language}, {"view": memoryview(case_view_adapter().dump_json(view))})
        answer = child.receive(_REPORT_SECONDS)
        if "pdf" in answer.arrays:
            return answer.arrays["pdf"].tobytes()
        refusal = answer.header.get("refusal")
        code, details = (refusal["code"], refusal["details"]) if isinstance(refusal, dict) else ("", {})
        if code in _REPORT_REFUSALS:
            raise _REPORT_REFUSALS[code](**details)
        raise ReportGaveUp(detail=str(code))
    except ChildLost as lost:
        reports_log.warning("the report child was lost (%s)", lost.detail)
        raise ReportGaveUp(detail=lost.detail) from None
    finally:
        child.kill()


def _spawn_report_child() -> Child:
    return Child("firmware_app.results.pdf.report_child", (str(_REPORT_MEMORY_MB), str(_REPORT_SECONDS)), silent=True)


export_log = logging.getLogger("lantern.export")

_OBJECTS_MORE_MB: Final = 1024
_OBJECTS_SECONDS: Final = 120.0


def render_objects(
    config: Config, view: CaseView, folder: Path, *, described: bool = False
) -> Iterator[dict[str, Any] | Reason]:
    """The facts of each object written into *folder*, as it is written; at the end a `Reason` if not all could be.

    *described*: with the description of each beside it (`description`).

    Raises `ChildWillNotStart`, `RESULTS_GAVE_UP`, and `OSError` where the disk takes no more.
    """
    said = {"view": memoryview(case_view_adapter().dump_json(view)), **_render_report_array(config, view)}
    child = start_child(_spawn_result_child(config), lambda: _spawn_result_child(config))
    try:
        child.send({"out": str(folder), "described": described}, said)
        while True:
            answer = child.receive(_OBJECTS_SECONDS).header
            if isinstance(answer.get("object"), dict):
                yield dict(answer["object"])
            elif isinstance(answer.get("unwritten"), int):
                raise OSError(answer["unwritten"], os.strerror(answer["unwritten"]))
            elif isinstance(answer.get("refusal"), dict):
                yield Reason(str(answer["refusal"]["code"]), dict(answer["refusal"]["details"]))
                return
            else:
                return
    except ChildLost as lost:
        export_log.warning("the result child was lost (%s)", lost.detail)
        raise RESULTS_GAVE_UP(detail=lost.detail) from None
    finally:
        child.kill()


def _render_report_array(config: Config, view: CaseView) -> dict[str, memoryview]:
    made = render_pdf_if_possible(config, view)
    return {"pdf": memoryview(made)} if made is not None else {}


def _spawn_result_child(config: Config) -> Child:
    memory_mb = str(config.reader.memory_mb + _OBJECTS_MORE_MB)
    return Child("firmware_app.results.dicom_objects.result_child", (memory_mb, str(_OBJECTS_SECONDS)), silent=True)
