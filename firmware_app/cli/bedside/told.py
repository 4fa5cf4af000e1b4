"""A live reading as a JSON object, for stdout and for the viewer's page."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from typing import Any, Final

from firmware_app.core.records import Reason
from firmware_app.reading.bedside.watching import LiveReading, Told
from firmware_app.results import case_line, terms

_WINDOW_S: Final = 2.0


class Rate:
    """Frames a second over the last two seconds."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque()

    def of(self, now: float) -> float:
        """Count one at *now* (monotonic seconds); 0 while there is only one."""
        self._moments.append(now)
        while now - self._moments[0] > _WINDOW_S:
            self._moments.popleft()
        span = now - self._moments[0]
        return (len(self._moments) - 1) / span if span > 0 else 0.0


def line(one: LiveReading | Told, rate: float, language: str) -> dict[str, Any]:
    """One line of ``lantern watch --json``, with sentences in *language*."""
    counts = asdict(one.counts)
    if isinstance(one, Told):
        return {"event": one.event, **counts, "reason": _sentence(one.reason, language)}
    return {
        "event": "frame",
        "sequence": one.sequence,
        **counts,
        "frames_per_second": round(rate, 1),
        "delay_ms": round(one.delay_ms, 1),
        "reason": _sentence(one.reason, language),
        "findings": [case_line.finding_object(finding, language) for finding in one.findings],
        "lesions": [case_line.lesion_object(lesion) for lesion in one.lesions],
        "hints": [_sentence(hint, language) for hint in one.hints],
        "pack": None if one.pack is None else asdict(one.pack),
    }


def page(one: LiveReading | Told, rate: float) -> dict[str, Any]:
    """The same for the viewer, which says it in the language of whoever looks: codes in place of sentences."""
    counts = {**asdict(one.counts), "frames_per_second": round(rate, 1)}
    if isinstance(one, Told):
        return {"event": one.event, **counts, "reason": _coded(one.reason)}
    return {
        "event": "frame",
        "sequence": one.sequence,
        "rows": one.rows,
        "columns": one.columns,
        **counts,
        "delay_ms": round(one.delay_ms, 1),
        "reason": _coded(one.reason),
        "findings": [
            {
                "label": dict(finding.label),
                "probability": round(terms.shown(finding.probability), 4),
                "threshold": round(finding.threshold, 4),
                "positive": finding.positive,
            }
            for finding in one.findings
        ],
        "lesions": [
            {"box": list(lesion.box), "outline": [list(point) for point in lesion.outline], "score": lesion.score}
            for lesion in one.lesions
        ],
        "hints": [_coded(hint) for hint in one.hints],
        "pack": None if one.pack is None else asdict(one.pack),
    }


def _sentence(reason: Reason | None, language: str) -> dict[str, str] | None:
    return None if reason is None else {"code": reason.code, "text": reason.text(language)}


def _coded(reason: Reason | None) -> dict[str, Any] | None:
    return None if reason is None else {"code": reason.code, "details": dict(reason.details)}
