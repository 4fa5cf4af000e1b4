"""Tries a pack in one runtime and precision: are its golden cases answered correctly, and how long does one film take?

It runs in a process of its own, because a runtime may crash (`reading.children.trial_child`), and in one process per
way, so that no runtime is timed beside another's threads.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging import picture
from firmware_app.imaging.model_input import find_view, read_model_frame, to_model_input
from firmware_app.packs.errors import InferenceFailed
from firmware_app.packs.evidence import GoldenCase
from firmware_app.packs.execution_variants import ExecutionVariant
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.runtimes.interface import Session
from firmware_app.packs.tasks import interface
from firmware_app.packs.tasks.interface import Answer, Frame
from firmware_app.reading.errors import RUNTIME_WRONG

WARM_UPS: Final = 3
MOST_RUNS: Final = 30
FEWEST_RUNS: Final = 5
MOST_SECONDS: Final = 2.0
_ROUNDING: Final = 1e-6
"""Allowance for the last bit of a float, when an answer is compared with an expected value of four decimal places."""


@dataclass(frozen=True, slots=True)
class VariantTiming:
    """A way that answered correctly: the runtime's version, the number of golden cases, the median inference time."""

    version: str | None
    cases: int
    milliseconds: float


@dataclass(frozen=True, slots=True)
class ModelFrame:
    """A picture as the model's input (1, C, H, W), and what it shows."""

    tensor: NDArray[np.float32]
    frame: Frame


def run_variant(pack: Pack, way: ExecutionVariant, settings: Mapping[str, Any]) -> VariantTiming:
    """Load the model with the runtime's *settings*, check every golden case, and time single inferences.

    Raises `RuntimeUnavailable`, `InferenceFailed`, `RUNTIME_WRONG`, an `ImagingError` or a `PackError`.
    """
    runtime = registry.get_runtime(way.runtime)
    version = runtime.probe().version
    session = runtime.load(pack.artefact(way.runtime, way.precision), runtime.Config(**settings))
    cases = check_golden_cases(pack, way, session)
    film = next((film for _, film in _load_images(pack)), make_blank_frame(pack.manifest))
    _infer_answer(pack.manifest, session, film, way)  # so that also a pack without golden cases has run once
    return VariantTiming(version, cases, _measure_median_ms(session, pack.manifest.input.name, film.tensor))


def make_blank_frame(manifest: Manifest) -> ModelFrame:
    """An empty picture of the model's own size."""
    spec = manifest.input
    return ModelFrame(np.zeros((1, spec.channels, *spec.shape), np.float32), Frame(spec.height, spec.width))


def check_golden_cases(pack: Pack, way: ExecutionVariant, session: Session) -> int:
    """Check every golden case of the pack with *session*; returns how many there are.

    Raises `RUNTIME_WRONG` for an answer beyond the tolerance, `InferenceFailed`, an `ImagingError`.
    """
    cases = 0
    for case, film in _load_images(pack):
        _check_golden_case(pack, way, session, case, film)
        cases += 1
    return cases


def _load_images(pack: Pack) -> Iterator[tuple[GoldenCase, ModelFrame]]:
    """Every golden case whose image is in the pack."""
    for case in pack.manifest.golden:
        if case.path is not None:
            spec = pack.manifest.input
            with picture.open_picture(pack.folder / case.path) as opened:
                given, ends = read_model_frame(opened, 0, spec)
                rows, columns = opened.rows, opened.columns
            if spec.depth is not None:  # its slices stand below each other in a picture
                given = given.reshape(spec.depth, -1, columns)
            tensor = to_model_input(given, spec, ends=ends)
            yield case, ModelFrame(tensor, Frame(rows, columns, box=find_view(rows, columns, spec)))


def _check_golden_case(pack: Pack, way: ExecutionVariant, session: Session, case: GoldenCase, film: ModelFrame) -> None:
    promise = pack.manifest.find_expectation(case, pack.find_artefact(way.runtime, way.precision))
    answer = _infer_answer(pack.manifest, session, film, way)
    if promise is None:
        return
    expected, tolerance = promise
    off = pack.manifest.task_module.difference(expected, answer)
    if off.apart > tolerance + _ROUNDING:
        raise RUNTIME_WRONG(
            pack=pack.name,
            runtime=way.runtime,
            precision=way.precision,
            case=str(case.path),
            finding=off.what,
            given=round(off.given, 4),
            expected=off.expected,
            tolerance=tolerance,
        )


def _infer_answer(manifest: Manifest, session: Session, film: ModelFrame, way: ExecutionVariant) -> Answer:
    outputs = session.infer({manifest.input.name: film.tensor})
    if manifest.typicality is not None and manifest.output.features not in outputs:
        raise InferenceFailed(pack=manifest.name, runtime=way.runtime, detail="it gives no feature vector")
    try:
        return interface.check_answer(manifest.task_module.answer(manifest.section, outputs, film.frame), film.frame)
    except ValueError as error:
        raise InferenceFailed(pack=manifest.name, runtime=way.runtime, detail=str(error)) from error


def _measure_median_ms(session: Session, name: str, film: NDArray[np.float32]) -> float:
    """The median of single inferences of one film."""
    for _ in range(WARM_UPS):
        session.infer({name: film})
    taken: list[float] = []
    end = time.perf_counter() + MOST_SECONDS
    while len(taken) < FEWEST_RUNS or (len(taken) < MOST_RUNS and time.perf_counter() < end):
        begun = time.perf_counter()
        session.infer({name: film})
        taken.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(taken)
