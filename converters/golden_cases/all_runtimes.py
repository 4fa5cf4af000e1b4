"""A pack in every runtime that works here, asked about one image at a time: what its golden cases are made with."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import tasks
from converters.tasks.interface import Outputs
from firmware_app.imaging.model_input import find_view, to_model_input
from firmware_app.packs.errors import PackArtefactMissing
from firmware_app.packs.manifest import Artefact
from firmware_app.packs.manifest_types import Precision
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.runtimes.interface import Session
from firmware_app.packs.tasks.interface import Answer, Frame
from firmware_app.packs.typicality import FamiliarityCheck

AGREED: dict[Precision, float] = {"fp32": 0.001, "fp16": 0.01, "int8": 0.025}
"""How near every runtime must come to the expected probability for a film to be taken."""


class AllRuntimes:
    """A pack loaded in every working runtime and precision; it reads one frame at a time."""

    def __init__(self, pack: Pack) -> None:
        self.pack, self.task, self.box = pack, tasks.get(pack.manifest.task), pack.manifest.task_module
        self.sessions: dict[tuple[str, Precision], Session] = {}
        self.files: dict[tuple[str, Precision], Artefact] = {}
        for runtime in registry.list_available_runtimes():
            for precision in dict.fromkeys(artefact.precision for artefact in pack.manifest.artefacts):
                try:
                    self.files[runtime, precision] = pack.find_artefact(runtime, precision)
                except PackArtefactMissing:
                    continue
                self.sessions[runtime, precision] = registry.get_runtime(runtime).load(
                    pack.artefact(runtime, precision)
                )
        self.runtimes = tuple(dict.fromkeys(runtime for runtime, _ in self.sessions))
        known = {way: FamiliarityCheck.load(pack, *way) for way in self.sessions if way[0] == registry.DEFAULT}
        self.familiar = {way: one for way, one in known.items() if one is not None}

    @property
    def stated_precisions(self) -> list[Precision]:
        """The precisions whose expected answers a golden case states: where a tolerance is measured, fp32 alone."""
        own = {precision: file for (runtime, precision), file in self.files.items() if runtime == registry.DEFAULT}
        return [name for name, file in own.items() if name == "fp32" or file.golden_tolerance is None]

    def ask(self, frame: NDArray[np.float32], runtime: str, precision: Precision) -> Answer:
        """Read a frame (H, W) as the box does."""
        rows, columns = frame.shape[:2]
        outputs, box = self.outputs(frame, runtime, precision), find_view(rows, columns, self.pack.manifest.input)
        return self.task.answer(self.pack.manifest.section, outputs, Frame(rows, columns, box=box))

    def probability(self, frame: NDArray[np.float32], runtime: str, precision: Precision) -> float:
        """The probability of the first finding."""
        return self.ask(frame, runtime, precision).findings[0].probability

    def outputs(self, frame: NDArray[np.float32], runtime: str, precision: Precision) -> Outputs:
        """What a file gives for a frame (H, W), as a batch of one, without the features."""
        given = self.sessions[runtime, precision].infer({self.pack.manifest.input.name: self.film(frame)})
        return {name: values for name, values in given.items() if name != self.pack.manifest.output.features}

    def parity(self, wanted: Outputs, given: Outputs) -> float:
        """How far two answers for a frame lie from each other; infinite where one is no number."""
        if not all(bool(np.isfinite(values).all()) for values in given.values()):
            return math.inf
        return self.task.parity(self.pack.manifest.section, wanted, given)

    def measure_unfamiliarity(self, frame: NDArray[np.float32]) -> float:
        """How far beyond the limit of what the pack reads a frame (H, W) lies, as a share of it; 0 within it.

        The worse of the default runtime's files, the same model behind all of them.
        """
        away = 0.0
        for way, known in self.familiar.items():
            outputs = self.sessions[way].infer({self.pack.manifest.input.name: self.film(frame)})
            features = outputs[self.pack.manifest.output.features or ""].reshape(-1)
            away = max(away, known.model.distance(features) / known.limit - 1.0)
        return away

    def film(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """A frame, of 8 bits as :func:`converters.golden_cases.cases.frame_of` gives it, as the model's input."""
        spec = self.pack.manifest.input
        if spec.depth is not None:  # its slices stand below each other in a picture
            frame = frame.reshape(spec.depth, -1, frame.shape[-1])
        return to_model_input(frame, spec)

    def record_expected(self, frame: NDArray[np.float32]) -> dict[Precision, Any]:
        """What the default runtime says, per precision, as a golden case records it."""
        return {
            precision: self.box.golden(self.ask(frame, registry.DEFAULT, precision))
            for precision in self.stated_precisions
        }

    def measure_differences(self, frame: NDArray[np.float32]) -> dict[tuple[str, Precision], float]:
        """How far each file's answer lies from the expected one: 0 is the same, 1 is another answer."""
        section, recorded = self.pack.manifest.section, self.record_expected(frame)
        expected = {one: self.box.expectation(section, answer) for one, answer in recorded.items()}
        return {
            (runtime, precision): self.box.difference(
                expected.get(precision, expected["fp32"]), self.ask(frame, runtime, precision)
            ).apart
            for runtime, precision in self.sessions
        }

    def measure_disagreement(self, frame: NDArray[np.float32]) -> float:
        """The largest difference in units of what :data:`AGREED` allows: 1 or less is agreement."""
        return max(value / AGREED[precision] for (_, precision), value in self.measure_differences(frame).items())
