"""A reader on a private state with toy packs, and objects put there past the door (which would refuse some of them)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import FileDataset

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.records import Case, Header, Instance, Reading
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.reading.reader import Reader
from tests import films, toy_pack


def config(folder: Path, packs: Path | None = None, **reader: Any) -> Config:
    """A configuration whose state and packs lie in *folder*."""
    return Config.model_validate(
        {
            "box": {"usual_population": "adult", "language": "en"},
            "state": {"dir": folder / "state"},
            "calibration": {"before": 0},  # every result is shown at once
            "packs": {"dir": packs or toy_pack.write_both(folder / "packs")},
            "reader": {"precision": "fp32", **reader},
        }
    )


@dataclass(frozen=True, slots=True)
class Rig:
    """A state with its database, filled by `admit`."""

    config: Config
    state: StateDir
    clinical: ClinicalDatabase

    def admit(self, dataset: FileDataset) -> Instance:
        """Put *dataset* where the door would have put it."""
        name = f"images/{dataset.SOPInstanceUID}.dcm"
        films.save(self.state.root, name, dataset)
        return self._record_instance(name, _header(dataset))

    def admit_bytes(self, data: bytes, header: Header | None) -> Instance:
        name = f"images/{hashlib.sha256(data).hexdigest()[:20]}"
        (self.state.root / name).write_bytes(data)
        return self._record_instance(name, header)

    def reading(self, instance: Instance) -> Reading:
        """The one reading of *instance*."""
        (reading_,) = [reading for reading in self.case(instance).readings if instance.reference in reading.instances]
        return reading_

    def read(self, *images: FileDataset | Instance, forced: str | None = None, tries: int | None = None) -> Reading:
        """Read until nothing waits, which takes as many *tries* as there are *images* if nothing else is said.

        Returns:
            The reading of the last of them.
        """
        instances = [image if isinstance(image, Instance) else self.admit(image) for image in images]
        with reader(self, forced) as made:
            assert read_all(made) == (len(images) if tries is None else tries)
        return self.reading(instances[-1])

    def case(self, instance: Instance) -> Case:
        return self.clinical.load_case(instance.case)

    def _record_instance(self, name: str, header: Header | None) -> Instance:
        digest = hashlib.sha256((self.state.root / name).read_bytes()).hexdigest()
        admitted = self.clinical.admit(path=name, file=name, sha256=digest, size=1, header=header, association=None)
        assert isinstance(admitted, Instance)
        return admitted


def read_reason_code(reading: Reading) -> str:
    """The code of the reason for which *reading* has no number."""
    assert reading.reason is not None
    return reading.reason.code


@contextmanager
def rig(config: Config) -> Iterator[Rig]:
    """A prepared state for *config*."""
    state = StateDir(config.state.dir)
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    try:
        yield Rig(config, state, clinical)
    finally:
        clinical.database.close()


@contextmanager
def reader(of: Rig, forced: str | None = None) -> Iterator[Reader]:
    """A reader in this process."""
    made = Reader(of.config, of.state, of.clinical, forced)
    try:
        yield made
    finally:
        made.close()


def read_all(made: Reader) -> int:
    """Read until nothing waits; returns the number of tries."""
    tries = 0
    while made.step():
        tries += 1
    return tries


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return when *condition* holds; what is awaited is a row of another process, which only looking can tell."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def tiny_film(number: int, **attributes: Any) -> FileDataset:
    """A small film that differs from the others."""
    return films.film(films.shapes(number, 96, 80), **attributes)


def _header(dataset: FileDataset) -> Header:
    return Header(
        str(dataset.SOPClassUID),
        str(dataset.SOPInstanceUID),
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.file_meta.TransferSyntaxUID),
        modality=dataset.get("Modality"),
        body_part=dataset.get("BodyPartExamined"),
        view_position=dataset.get("ViewPosition"),
        patient_age=dataset.get("PatientAge"),
        birth_date=dataset.get("PatientBirthDate"),
        study_date=dataset.get("StudyDate"),
        presentation_intent=dataset.get("PresentationIntentType"),
        has_pixels="PixelData" in dataset,
    )
