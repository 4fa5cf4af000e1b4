"""What a person gave as the source of live frames."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from firmware_app.core.errors import SourceUnknown
from firmware_app.reading.bedside.grabber import Sourced

DICOM: Final = "dicom"
_STREAMS: Final = ("rtsp://", "rtsps://")


def sourced(given: str, *, loop: bool = False) -> Sourced:
    """The source by its form; ``@FILE`` has it in its first line.  Raises `SourceUnknown`."""
    if given.startswith("@"):
        try:
            given = Path(given[1:]).read_text("utf-8").split("\n", 1)[0].strip()
        except (OSError, ValueError):
            raise SourceUnknown(source=given) from None
    if given == DICOM:
        return Sourced("dicom", "")
    if given.startswith(_STREAMS):
        return Sourced("stream", given)
    if "://" in given:  # it may hold a password
        raise SourceUnknown(source=f"{given.partition('://')[0][:20]}://…")
    try:
        mode = Path(given).stat().st_mode
    except (OSError, ValueError):
        raise SourceUnknown(source=given) from None
    if stat.S_ISCHR(mode):
        return Sourced("device", given)
    if stat.S_ISREG(mode):
        return Sourced("file", str(Path(given).absolute()), loop)
    raise SourceUnknown(source=given)
