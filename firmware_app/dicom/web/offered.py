"""A result object that viewers may search and fetch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class OfferedResult:
    """One object; `file` is below ``results/``, and its metadata lies beside it.

    `attributes` is DICOM JSON (PS3.18 F), without sequences and long values.  `bulk` has, by tag, first byte, length
    and number of frames of the long values in the file.
    """

    case: str
    study_uid: str
    series_uid: str
    sop_instance_uid: str
    file: str
    bytes: int
    attributes: Mapping[str, Any]
    bulk: Mapping[str, Sequence[int]]


class OfferedObjects(Protocol):
    """Where the offered objects are found (`results.queue.offered.OfferedResults`)."""

    def find(
        self, study: str | None = None, series: str | None = None, sop: str | None = None
    ) -> list[OfferedResult]: ...
