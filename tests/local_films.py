"""A clinical database with films that a pack has scored, without reading any: for the tests of local calibration."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import NormalDist

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.imaging_devices import ImagingDevice
from firmware_app.cases.model_scores import CalibrationSample, ModelSite, SamplingShares, Score
from firmware_app.cases.reading_queue import Sampling
from firmware_app.core.records import (
    Finding,
    Header,
    Instance,
    PackIdentity,
    Priority,
    Reading,
    ReadingStatus,
    Scope,
    Timing,
)

FINDING = "bright"
MACHINE = ImagingDevice("m-" + "1" * 20, "Acme · X1 · room 2")
PLACE = ModelSite("toy-child", "0.0.1", MACHINE.digest)
SHARES = SamplingShares(0.1, 0.2)
SECRET = bytes(32)


def create_database(folder: Path) -> ClinicalDatabase:
    """A new clinical database in *folder*."""
    clinical = ClinicalDatabase(folder / "clinical" / "clinical.db")
    clinical.create()
    return clinical


def read_image(
    clinical: ClinicalDatabase,
    number: int,
    score: float,
    threshold: float = 0.5,
    *,
    place: ModelSite = PLACE,
    image: int = 1,
    shares: SamplingShares = SHARES,
    study_date: str = "20260105",
    refused: bool = False,
    distance: float | None = None,
    following: bool = False,
    withheld: float | None = None,
) -> str:
    """Film *number* arrives and is read with *score*; returns its case.

    *following*: the threshold follows the scores, that of a film which was *withheld* among them.
    """
    uid = f"1.2.{place.version.replace('.', '')}.{number}"
    syntax = "1.2.840.10008.1.2"
    header = Header("1.2", f"{uid}.1.{image}", uid, f"{uid}.2", syntax, modality="DX", study_date=study_date)
    admitted = clinical.admit(
        path=str(number), file=f"images/{uid}", sha256=f"{uid}.{image}", size=1, header=header, association=None
    )
    assert isinstance(admitted, Instance)
    claim = clinical.claim()
    assert claim is not None
    scores = () if refused else (Score(FINDING, score, threshold),)
    examined = CalibrationSample(
        place.pack,
        place.version,
        ImagingDevice(place.machine, MACHINE.name),
        scores,
        refused,
        distance,
        following=FINDING if following else None,
        withheld=withheld,
    )
    reading = Reading(
        Scope.INSTANCE,
        (claim.instance.reference,),
        ReadingStatus.READ,
        None,
        PackIdentity(place.pack, place.version, "onnxruntime", "int8"),
        Timing(1, 2, 3),
        (Finding(FINDING, {"en": "Pneumonia"}, score, threshold),),
    )
    clinical.finish(claim.instance, reading, Priority.ROUTINE, Sampling(examined, SECRET, shares))
    return admitted.case


def binormal(count: int, auc: float, seed: int = 1, prevalence: float = 0.4) -> list[tuple[float, bool]]:
    """(score in 0..1, truth) of *count* films."""
    rng, apart = random.Random(seed), 2**0.5 * NormalDist().inv_cdf(auc)
    truths = [rng.random() < prevalence for _ in range(count)]
    return [(NormalDist().cdf(rng.gauss(apart / 2 if truth else -apart / 2, 1.0)), truth) for truth in truths]
