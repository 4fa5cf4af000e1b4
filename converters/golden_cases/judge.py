"""A pack in every runtime that works here, asked about one image at a time: what its golden cases are made with."""

import numpy as np
from numpy.typing import NDArray

from converters.evaluation import outlines
from firmware_app.errors import PackArtefactMissing
from firmware_app.imaging.model_input import to_model_input
from firmware_app.packs.familiar import Familiar
from firmware_app.packs.manifest import Artefact
from firmware_app.packs.shelf import Pack
from firmware_app.runtimes import choice
from firmware_app.runtimes.interface import Session
from firmware_app.tasks import classify
from firmware_app.tasks.part import Precision

AGREED: dict[Precision, float] = {"fp32": 0.001, "fp16": 0.01, "int8": 0.025}
"""How near every runtime must come to the expected probability for a film to be taken."""


class Judge:
    """A pack loaded in every runtime that works here, all precisions, to be asked about one frame at a time."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.sessions: dict[tuple[str, Precision], Session] = {}
        self.files: dict[tuple[str, Precision], Artefact] = {}
        for runtime in choice.available():
            for precision in dict.fromkeys(artefact.precision for artefact in pack.manifest.artefacts):
                try:
                    self.files[runtime, precision] = pack.described(runtime, precision)
                except PackArtefactMissing:
                    continue
                self.sessions[runtime, precision] = choice.get(runtime).load(pack.artefact(runtime, precision))
        self.runtimes = tuple(dict.fromkeys(runtime for runtime, _ in self.sessions))
        known = {way: Familiar.of(pack, *way) for way in self.sessions if way[0] == choice.DEFAULT}
        self.familiar = {way: one for way, one in known.items() if one is not None}

    @property
    def stated(self) -> list[Precision]:
        """The precisions whose expected answers a golden case states: where a tolerance is measured, fp32 alone."""
        own = {precision: file for (runtime, precision), file in self.files.items() if runtime == choice.DEFAULT}
        return [name for name, file in own.items() if name == "fp32" or file.golden_tolerance is None]

    def ask(self, frame: NDArray[np.float32], runtime: str, precision: Precision) -> dict[str, float]:
        """Finding code → probability for a frame (H, W)."""
        manifest, activation = self.pack.manifest, self.map(frame, runtime, precision)
        if manifest.task == "segment":
            specs = manifest.section.findings
            logit = {spec.code: (outlines.strongest(activation, spec), spec.calibration) for spec in specs}
            return {code: classify.probability(*told) for code, told in logit.items()}
        return {one.code: one.probability for one in classify.findings(activation, manifest.section.findings)}

    def map(self, frame: NDArray[np.float32], runtime: str, precision: Precision) -> NDArray[np.float32]:
        """(C, h, w): the map that a file gives for a frame (H, W)."""
        manifest = self.pack.manifest
        given = {manifest.input.name: self.film(frame)}
        return self.sessions[runtime, precision].infer(given)[manifest.section.output.map][0]

    def logit(self, activation: NDArray[np.float32]) -> NDArray[np.float64]:
        """(F,): the logit of each finding, from a map (C, h, w)."""
        asked = outlines.strongest if self.pack.manifest.task == "segment" else classify.logit
        return np.array([asked(activation, spec) for spec in self.pack.manifest.section.findings])

    def strangeness(self, frame: NDArray[np.float32]) -> float:
        """How far beyond the limit of what the pack reads a frame (H, W) lies, as a share of it; 0 within it.

        The worse of the default runtime's files, the same model behind all of them.
        """
        away = 0.0
        for way, known in self.familiar.items():
            told = self.sessions[way].infer({self.pack.manifest.input.name: self.film(frame)})
            features = told[self.pack.manifest.output.features or ""].reshape(-1)
            away = max(away, known.model.distance(features) / known.limit - 1.0)
        return away

    def film(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """A frame (H, W) as the model's input."""
        spec = self.pack.manifest.input
        if spec.depth is not None:  # its slices stand below each other in a picture
            frame = frame.reshape(spec.depth, -1, frame.shape[-1])
        return to_model_input(frame, spec)

    def expected(self, frame: NDArray[np.float32]) -> dict[Precision, dict[str, float]]:
        """What the default runtime says, per precision, rounded to four places."""
        return {
            precision: {code: round(value, 4) for code, value in self.ask(frame, choice.DEFAULT, precision).items()}
            for precision in self.stated
        }

    def apart(self, frame: NDArray[np.float32]) -> dict[tuple[str, Precision], float]:
        """How far each file's answer lies from the expected one."""
        expected = self.expected(frame)
        return {
            (runtime, precision): max(
                abs(value - expected.get(precision, expected["fp32"])[code])
                for code, value in self.ask(frame, runtime, precision).items()
            )
            for runtime, precision in self.sessions
        }

    def discord(self, frame: NDArray[np.float32]) -> float:
        """The largest difference in units of what :data:`AGREED` allows: 1 or less is agreement."""
        return max(value / AGREED[precision] for (_, precision), value in self.apart(frame).items())
