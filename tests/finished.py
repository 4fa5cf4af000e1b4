"""Boxes with finished work on them: cases that came on given days, were read, told to the hospital and signed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock
from firmware_app.core.records import Finding, Instance, PackIdentity, Priority, Reading, ReadingStatus, Scope, Timing
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from firmware_app.uplink.outbox import Outbox
from tests import objects

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DOCTOR = "doctor"
_CALLS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "shutil.rmtree", "sqlite3.connect")


def days_ago(days: float, now: datetime = NOW) -> str:
    return clock.Stamp(now - timedelta(days=days), True).text()


def open_state(root: Path) -> tuple[StateDir, ClinicalDatabase, ImageIntake]:
    state = StateDir(root)
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    return state, clinical, ImageIntake(state, clinical, 1, 64)


def film(folder: Path, number: int, study: int | None = None) -> Path:
    """An image file, of a study of its own unless told."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{number}.dcm"
    study = number if study is None else study
    path.write_bytes(objects.file_of(objects.film(study=f"1.2.3.{study}", sop_instance=f"1.2.4.{number}")))
    return path


def admit_image(door: ImageIntake, path: Path, received_at: str) -> str:
    """The case of the image at *path*, which came at *received_at*."""
    admitted = door.accept_file(path, f"stick/{path.name}")
    connection = door.clinical.database.connection
    connection.execute("UPDATE instances SET received_at = ? WHERE reference = ?", (received_at, admitted.instance))
    return admitted.case


def read_all(state: StateDir, clinical: ClinicalDatabase, *, report: bool = False, probability: float = 0.9) -> None:
    """Read what waits, with a picture for people, and close every revision."""
    while (claim := clinical.claim()) is not None:
        shown = state.display / claim.instance.reference
        shown.mkdir(exist_ok=True)
        (shown / "0.png").write_bytes(b"picture")
        (shown / "identity.json").write_text("{}", "utf-8")
        clinical.finish(claim.instance, reading(claim.instance, probability), Priority.URGENT)
    clinical.close_revisions(-1, report=Outbox(clinical.database).put if report else None)


def reading(instance: Instance, probability: float) -> Reading:
    finding = Finding("pneumonia", {"en": "Pneumonia", "zh_CN": "肺炎"}, probability, 0.5)
    return Reading(
        Scope.INSTANCE,
        (instance.reference,),
        ReadingStatus.READ,
        None,
        PackIdentity("p", "1.0.0", "onnxruntime", "int8"),
        Timing(1, 2, 3),
        (finding,),
    )


def sign(clinical: ClinicalDatabase, case: str) -> None:
    CaseLists(clinical).judge(case, "pneumonia", "agree", DOCTOR)
    CaseLists(clinical).finish(case, DOCTOR)


def make_finished_cases(
    root: Path, ages: Iterable[float], now: datetime = NOW, films: Path | None = None
) -> tuple[StateDir, ClinicalDatabase, ImageIntake, list[str]]:
    """One finished case for each of *ages* in days before *now*, which came in this order."""
    state, clinical, door = open_state(root)
    folder = films or root.parent / f"{root.name}-films"
    cases = [admit_image(door, film(folder, number), days_ago(age, now)) for number, age in enumerate(ages)]
    read_all(state, clinical)
    for case in cases:
        sign(clinical, case)
    return state, clinical, door, cases


def list_case_files(state: StateDir) -> set[str]:
    """Every file below the folders that hold a case's files."""
    return {
        str(path.relative_to(state.root))
        for folder in (state.images, state.display, state.set_aside)
        for path in folder.rglob("*")
        if path.is_file()
    }


def confirm_time(state: StateDir) -> None:
    """A person has told the box on *state* the time, so that its commands believe it."""
    clock.Clock(clock.ClockFile(state.run / "clock.json")).learn(time.time(), clock.TimeSource.PERSON)


def kill_at_call(call: int, work: Callable[[], object]) -> bool:
    """Whether a process that does *work* came to its file operation number *call*, where it was killed with SIGKILL."""
    left = iter(range(call, -1, -1))

    def count(event: str, _arguments: object) -> None:
        if event in _CALLS and not next(left):
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            sys.addaudithook(count)
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
