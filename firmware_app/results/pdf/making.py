"""Has a report made by a child process, so that no page waits longer for it than a deadline, and none dies with it."""

from __future__ import annotations

import logging
from typing import Final

from firmware_app.cases.signed_reports import SignedReport
from firmware_app.core.children.child import Child, ChildLost
from firmware_app.core.children.starting import started
from firmware_app.core.errors import ReportError, ReportFontMissing, ReportGaveUp
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.results.result import Result, form

log = logging.getLogger("lantern.reports")

_MEMORY_MB: Final = 1024
_SECONDS: Final = 60.0
_REFUSALS: Final[dict[str, type[ReportError]]] = {ReportFontMissing.code: ReportFontMissing}


def pdf_of(config: Config, result: Result, language: str) -> bytes:
    """The report of *result* in *language*; what a doctor has signed stays byte for byte as it was first made.

    Raises `ReportFontMissing`, `ReportGaveUp` and `ChildWillNotStart`.
    """
    kept = _place(config, result, language)
    made = kept.read() if kept is not None else None
    if made is None:
        made = _made(result, language)
        if kept is not None:
            kept.keep(made)
    return made


def pdf_if_possible(config: Config, result: Result) -> bytes | None:
    """The report in the box's language; None on a box that has no Chinese font.

    What else is made of the result goes without it.  Raises `ReportGaveUp` and `ChildWillNotStart`, which may pass.
    """
    try:
        return pdf_of(config, result, result.language)
    except ReportFontMissing as error:
        log.warning("the results of a case have no PDF: %s", error)
        return None


def _place(config: Config, result: Result, language: str) -> SignedReport | None:
    if result.signed_state is None or result.case.reference is None:
        return None
    state = StateDir(config.state.dir)
    return SignedReport(state, result.case.reference, result.version, result.signed_state, language)


def _made(result: Result, language: str) -> bytes:
    child = started(_spawn(), _spawn)
    try:
        child.send({"language": language}, {"result": memoryview(form().dump_json(result))})
        answer = child.receive(_SECONDS)
        if "pdf" in answer.arrays:
            return answer.arrays["pdf"].tobytes()
        refusal = answer.header.get("refusal")
        code, details = (refusal["code"], refusal["details"]) if isinstance(refusal, dict) else ("", {})
        if code in _REFUSALS:
            raise _REFUSALS[code](**details)
        raise ReportGaveUp(detail=str(code))
    except ChildLost as lost:
        log.warning("the report child was lost (%s)", lost.detail)
        raise ReportGaveUp(detail=lost.detail) from None
    finally:
        child.kill()


def _spawn() -> Child:
    return Child("firmware_app.results.pdf.report_child", (str(_MEMORY_MB), str(_SECONDS)), silent=True)
