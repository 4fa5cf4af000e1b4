"""The reader's side of local calibration: whether a pack is suspended on a machine, its threshold, what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from firmware_app.cases import imaging_devices, model_scores
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.imaging_devices import ImagingDevice
from firmware_app.cases.model_scores import CalibrationSample, DeviceScores, ModelSite, SamplingShares, Score
from firmware_app.cases.reading_queue import Sampling
from firmware_app.cases.suspensions import Suspensions
from firmware_app.core.operating_point import standardise_probability
from firmware_app.core.records import Finding, Header, LocalState, Reading, ReadingStatus
from firmware_app.core.settings import Config
from firmware_app.monitoring.operating_points import OperatingPoints
from firmware_app.packs import prevalence_adjustment
from firmware_app.packs.manifest import Manifest

PURPOSE: Final = "local calibration"
"""Of the secret under which films are drawn and machines are named."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A pack on the machine of one image."""

    manifest: Manifest
    machine: ImagingDevice

    @property
    def place(self) -> ModelSite:
        return ModelSite(self.manifest.name, self.manifest.version, self.machine.digest)


class LocalCalibration:
    """Asked by the reader for each image that a pack may read."""

    def __init__(self, clinical: ClinicalDatabase, config: Config) -> None:
        self._standings = Suspensions(clinical.database)
        self._points = OperatingPoints(clinical.database, clinical.database.path.parent)
        self._prevalence = config.reader.prevalence
        self._shares = SamplingShares(config.calibration.before, config.calibration.low)
        self._clinical = clinical
        self._secret: bytes | None = None

    def chosen(self, manifest: Manifest, header: Header | None) -> LocalModel:
        """The pack of *manifest* on the machine that made the image."""
        return LocalModel(manifest, imaging_devices.identify_device(header, self._key()))

    def is_suspended(self, chosen: LocalModel) -> bool:
        return self._standings.is_suspended(chosen.place)

    def adopted(self, chosen: LocalModel, findings: tuple[Finding, ...]) -> tuple[tuple[Finding, ...], LocalState]:
        """*findings* with the clinic's own thresholds where these are in force; calibrated where each has one."""
        manifest = chosen.manifest
        points = {one.code: self._points.in_force(chosen.place, one.code, manifest.files) for one in findings}
        confirmed = {code: point.threshold for code, point in points.items() if point is not None}
        moved = tuple(
            one
            if (threshold := confirmed.get(one.code, self._standardised(chosen, one.code))) is None
            else replace(one, threshold=self._here(manifest, one.code, threshold))
            for one in findings
        )
        all_in_force = bool(points) and len(confirmed) == len(points)
        return moved, LocalState.CALIBRATED if all_in_force else LocalState.PROVISIONAL

    def unsure_between(self, chosen: LocalModel) -> tuple[float, float] | None:
        """(low, high): from where to where a probability, at the pack's own prevalence, is not given on this machine.

        They move with the threshold that follows the machine's scores.  ``None`` for a pack that withholds none.
        """
        abstain, first = chosen.manifest.abstain, chosen.manifest.findings[0]
        if abstain is None:
            return None
        usual, here = first.usual_scores, self._scores(chosen, first.code)
        files = chosen.manifest.files
        if usual is None or here is None or self._points.in_force(chosen.place, first.code, files) is not None:
            return abstain.low, abstain.high
        low, high = (standardise_probability(one, usual.log_odds, here.log_odds) for one in (abstain.low, abstain.high))
        return low, high

    def sampling(
        self,
        chosen: LocalModel,
        reading: Reading,
        distance: float | None,
        watched: Mapping[str, float],
        withheld: float | None = None,
    ) -> Sampling:
        """What is kept of *reading*; its probabilities go back to the pack's own prevalence, which no setting moves.

        *withheld*: the probability, as the pack gives it, of a film of which it was not sure.
        """
        scores = tuple(
            Score(
                one.code,
                self._at_home(chosen.manifest, one.code, one.probability),
                self._at_home(chosen.manifest, one.code, one.threshold),
            )
            for one in reading.findings
        )
        refused = reading.status is ReadingStatus.CANNOT_JUDGE
        place = chosen.place
        following = next((one.code for one in chosen.manifest.findings if one.usual_scores is not None), None)
        examined = CalibrationSample(
            pack=place.pack,
            version=place.version,
            machine=chosen.machine,
            scores=scores,
            refused=refused,
            distance=distance,
            watched=watched,
            following=following,
            withheld=withheld if following is not None else None,
        )
        return Sampling(examined, self._key(), self._shares)

    def _standardised(self, chosen: LocalModel, code: str) -> float | None:
        """The threshold of *code* by the machine's scores; ``None`` where it does not follow them (yet)."""
        spec = next(one for one in chosen.manifest.findings if one.code == code)
        here = self._scores(chosen, code)
        if spec.usual_scores is None or here is None:
            return None
        return standardise_probability(spec.threshold, spec.usual_scores.log_odds, here.log_odds)

    def _scores(self, chosen: LocalModel, code: str) -> DeviceScores | None:
        return model_scores.find_device_scores(self._clinical.database.connection, chosen.place, code)

    def _here(self, manifest: Manifest, code: str, threshold: float) -> float:
        """*threshold*, of the pack's own prevalence, at the clinic's."""
        given, wanted = prevalence_adjustment.pack_prevalence(manifest), self._prevalence.get(code)
        return (
            threshold
            if wanted is None or not 0.0 < given < 1.0
            else prevalence_adjustment.shift_probability(threshold, given, wanted)
        )

    def _at_home(self, manifest: Manifest, code: str, probability: float) -> float:
        """*probability*, of the clinic's prevalence, at the pack's own."""
        given, wanted = prevalence_adjustment.pack_prevalence(manifest), self._prevalence.get(code)
        return (
            probability
            if wanted is None or not 0.0 < given < 1.0
            else prevalence_adjustment.shift_probability(probability, wanted, given)
        )

    def _key(self) -> bytes:
        if self._secret is None:
            self._secret = self._clinical.subkey(PURPOSE)
        return self._secret
