"""Has the objects of a result made by a child process: a hostile header costs that process and nothing else."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from firmware_app.core.children.child import Child, ChildLost
from firmware_app.core.children.starting import started
from firmware_app.core.errors import ResultsGaveUp
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.results.pdf import making as report
from firmware_app.results.result import Result, form

log = logging.getLogger("lantern.export")

_MORE_MB: Final = 1024
_SECONDS: Final = 120.0


def made_objects(
    config: Config, result: Result, folder: Path, *, described: bool = False
) -> Iterator[dict[str, Any] | Reason]:
    """The facts of each object written into *folder*, as it is written; at the end a `Reason` if not all could be.

    *described*: with the description of each beside it (`description`).

    Raises `ChildWillNotStart`, `ResultsGaveUp`, and `OSError` where the disk takes no more.
    """
    said = {"result": memoryview(form().dump_json(result)), **_report(config, result)}
    child = started(_spawn(config), lambda: _spawn(config))
    try:
        child.send({"out": str(folder), "described": described}, said)
        while True:
            answer = child.receive(_SECONDS).header
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
        log.warning("the result child was lost (%s)", lost.detail)
        raise ResultsGaveUp(detail=lost.detail) from None
    finally:
        child.kill()


def _report(config: Config, result: Result) -> dict[str, memoryview]:
    made = report.pdf_if_possible(config, result)
    return {"pdf": memoryview(made)} if made is not None else {}


def _spawn(config: Config) -> Child:
    memory_mb = str(config.reader.memory_mb + _MORE_MB)
    return Child("firmware_app.results.dicom_objects.result_child", (memory_mb, str(_SECONDS)), silent=True)
