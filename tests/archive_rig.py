"""A box that sends: its sender as a process that can be killed, and cases that are read as by a pack with lesions."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.lesion import Lesion
from firmware_app.core.records import Finding, Priority, Reading, ReadingStatus, Scope, Timing
from firmware_app.core.state_dir import StateDir
from firmware_app.results.archive_queue import SendingQueue, SendingStage
from tests.peers import REPOSITORY
from tests.results import PACK, render

PATIENCE_S = 120.0


def read_all(state: StateDir, clinical: ClinicalDatabase) -> list[str]:
    """Read what waits, with a finding and a lesion each, and close the revisions; returns the cases."""
    while (claim := clinical.claim()) is not None:
        instance = claim.instance
        assert instance.header is not None
        rows, columns = instance.header.rows or 1, instance.header.columns or 1
        render(state.display / instance.reference, rows, columns)
        box = (columns * 0.2, rows * 0.2, columns * 0.6, rows * 0.5)
        lesion = Lesion(
            instance.reference,
            0,
            box,
            0.9,
            tags={"finding": "pneumonia"},
            picture=(columns, rows),
            outline=((box[0], box[1]), (box[2], box[1] + 9), (box[0] + 9, box[3])),
        )
        finding = Finding("pneumonia", {"en": "Signs of pneumonia", "zh_CN": "肺炎征象"}, 0.93, 0.41)
        reading = Reading(
            Scope.INSTANCE,
            (instance.reference,),
            ReadingStatus.READ,
            None,
            PACK,
            Timing(1, 2, 3),
            (finding,),
            (lesion,),
        )
        clinical.finish(instance, reading, Priority.URGENT)
    return clinical.close_revisions(-1)


@contextmanager
def sender(state: StateDir, port: int, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A sender to the archive ORTHANC on *port*; ended with SIGTERM unless the test has killed it."""
    environment = {
        **os.environ,
        "LANTERN_STATE__DIR": str(state.root),
        "LANTERN_PACS__HOST": "127.0.0.1",
        "LANTERN_PACS__PORT": str(port),
        "LANTERN_PACS__AE_TITLE": "ORTHANC",
        "LANTERN_PACS__SEND": "true",
        "LANTERN_PACS__WAIT_SECONDS": "0.1",
        "LANTERN_RETENTION__HIGH_WATER_FREE_MB": "16",
        **more,
    }
    # It gives way to every other process, but a test waits for it.
    first = ["nice", "-n", "-15"] if os.geteuid() == 0 else []
    command = [*first, sys.executable, "-m", "firmware_app", "serve", "--only", "sender"]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def stages(clinical: ClinicalDatabase, case: str) -> dict[str, SendingStage]:
    """Kind -> stage of the objects of *case*."""
    return {one.kind: one.stage for one in SendingQueue(clinical.database).list_of_case(case)}


def await_true(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)  # the other side is a foreign program


def films_sent(folder: Path, *, count: int) -> list[Path]:
    """Films of *count* studies."""
    from tests import films

    folder.mkdir(exist_ok=True)
    return [films.save(folder, f"{n}.dcm", films.film(films.shapes(n), PatientID=f"P-{n}")) for n in range(count)]
