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

    def find_local_model(self, manifest: Manifest, header: Header | None) -> LocalModel:
        """The pack of *manifest* on the machine that made the image."""
        return LocalModel(manifest, imaging_devices.identify_device(header, self._load_key()))

    def is_suspended(self, chosen: LocalModel) -> bool:
        return self._standings.is_suspended(chosen.place)

    def apply_thresholds(
        self, chosen: LocalModel, findings: tuple[Finding, ...]
    ) -> tuple[tuple[Finding, ...], LocalState]:
        """*findings* with the clinic's own thresholds where these are in force; calibrated where each has one."""
        manifest = chosen.manifest
        points = {
            finding.code: self._points.find_in_force(chosen.place, finding.code, manifest.files) for finding in findings
        }
        confirmed = {code: point.threshold for code, point in points.items() if point is not None}
        moved = tuple(
            finding
            if (threshold := confirmed.get(finding.code, self._standardise_threshold(chosen, finding.code))) is None
            else replace(finding, threshold=self._to_clinic_prevalence(manifest, finding.code, threshold))
            for finding in findings
        )
        all_in_force = bool(points) and len(confirmed) == len(points)
        return moved, LocalState.CALIBRATED if all_in_force else LocalState.PROVISIONAL

    def find_unsure_range(self, chosen: LocalModel) -> tuple[float, float] | None:
        """(low, high): from where to where a probability, at the pack's own prevalence, is not given on this machine.

        They move with the threshold that follows the machine's scores.  ``None`` for a pack that withholds none.
        """
        abstain, first = chosen.manifest.abstain, chosen.manifest.findings[0]
        if abstain is None:
            return None
        usual, here = first.usual_scores, self._find_scores(chosen, first.code)
        files = chosen.manifest.files
        if usual is None or here is None or self._points.find_in_force(chosen.place, first.code, files) is not None:
            return abstain.low, abstain.high
        low, high = (standardise_probability(one, usual.log_odds, here.log_odds) for one in (abstain.low, abstain.high))
        return low, high

    def build_sampling(
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
                finding.code,
                self._to_pack_prevalence(chosen.manifest, finding.code, finding.probability),
                self._to_pack_prevalence(chosen.manifest, finding.code, finding.threshold),
            )
            for finding in reading.findings
        )
        refused = reading.status is ReadingStatus.CANNOT_JUDGE
        place = chosen.place
        following = next(
            (finding.code for finding in chosen.manifest.findings if finding.usual_scores is not None), None
        )
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
        return Sampling(examined, self._load_key(), self._shares)

    def _standardise_threshold(self, chosen: LocalModel, code: str) -> float | None:
        """The threshold of *code* by the machine's scores; ``None`` where it does not follow them (yet)."""
        spec = next(finding for finding in chosen.manifest.findings if finding.code == code)
        here = self._find_scores(chosen, code)
        if spec.usual_scores is None or here is None:
            return None
        return standardise_probability(spec.threshold, spec.usual_scores.log_odds, here.log_odds)

    def _find_scores(self, chosen: LocalModel, code: str) -> DeviceScores | None:
        return model_scores.find_device_scores(self._clinical.database.connection, chosen.place, code)

    def _to_clinic_prevalence(self, manifest: Manifest, code: str, threshold: float) -> float:
        """*threshold*, of the pack's own prevalence, at the clinic's."""
        given, wanted = prevalence_adjustment.pack_prevalence(manifest), self._prevalence.get(code)
        return (
            threshold
            if wanted is None or not 0.0 < given < 1.0
            else prevalence_adjustment.shift_probability(threshold, given, wanted)
        )

    def _to_pack_prevalence(self, manifest: Manifest, code: str, probability: float) -> float:
        """*probability*, of the clinic's prevalence, at the pack's own."""
        given, wanted = prevalence_adjustment.pack_prevalence(manifest), self._prevalence.get(code)
        return (
            probability
            if wanted is None or not 0.0 < given < 1.0
            else prevalence_adjustment.shift_probability(probability, wanted, given)
        )

    def _load_key(self) -> bytes:
        if self._secret is None:
            self._secret = self._clinical.derive_subkey(PURPOSE)
        return self._secret
