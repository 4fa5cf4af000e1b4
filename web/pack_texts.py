"""What a model pack says about itself, for the doctor: how it was measured, for which patients, where it is weak."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_app.core.records import Case, PackIdentity
from firmware_app.core.settings import Config
from firmware_app.packs import prevalence_adjustment
from firmware_app.packs.errors import PackError
from firmware_app.packs.evidence import ExternalValidation, Measurement
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.manifest_types import LocalisedText
from firmware_app.packs.pack_store import PackStore


@dataclass(frozen=True, slots=True)
class Headline:
    """The one number by which a pack is known elsewhere: `measure` is a key of `labels.HEADLINES`."""

    measure: str
    text: str


@dataclass(frozen=True, slots=True)
class PackTexts:
    """The manifest's texts for the pack of one reading, in one language.

    `elsewhere` are its rows on films of other places, `left_out` those of networks of its recipe on a source that they
    had not seen; `headline` is the worst number of both.  `measured` is of its home hospital.  `here`: the clinic has
    set how common every finding of the pack is, so that its specificity may be read as it is.
    """

    title: str
    intended_use: str
    not_for: str
    weak_points: tuple[str, ...]
    elsewhere: tuple[ExternalValidation, ...]
    left_out: tuple[Measurement, ...]
    headline: Headline | None
    measured: Measurement | None
    worth: prevalence_adjustment.PredictiveValues | None
    here: bool


def texts(config: Config, pack: PackIdentity, language: str) -> PackTexts | None:
    """Texts of the installed pack; None when another version is installed now, or none."""
    try:
        manifest = PackStore.from_config(config).find(pack.name).manifest
    except PackError:
        return None
    if manifest.version != pack.version:
        return None

    def said(text: LocalisedText) -> str:
        return text.text(language)

    measured = _measured(manifest, pack)
    return PackTexts(
        title=said(manifest.title),
        intended_use=said(manifest.intended_use),
        not_for=said(manifest.not_for),
        weak_points=tuple(said(point) for point in manifest.weak_points),
        elsewhere=manifest.measured_elsewhere,
        left_out=tuple(row for row in manifest.measured if row.unseen),
        headline=headline(manifest),
        measured=measured,
        worth=prevalence_adjustment.find_predictive_values(
            manifest, measured, manifest.findings[0].code, config.reader.prevalence
        ),
        here=all(finding.code in config.reader.prevalence for finding in manifest.findings),
    )


def headline(manifest: Manifest) -> Headline | None:
    """The lowest AUC of other places, of the films that get a number; where there is none, the lowest sensitivity, and
    where no film with the finding gets one, the least share that does."""
    away, unseen = manifest.measured_elsewhere, [row for row in manifest.measured if row.unseen]
    areas = [*(row.auc_passed for row in away), *(row.auc for row in unseen)]
    if known := [area for area in areas if area is not None]:
        return Headline("auc", f"{min(known):.3f}")
    rates = [*(row.sensitivity_passed for row in away), *(row.sensitivity for row in unseen)]
    if found := [rate for rate in rates if rate is not None]:
        return Headline("sensitivity", f"{100 * min(found):.1f}%")
    shares = [row.passed for row in away]
    return Headline("passed", f"{100 * min(shares):.1f}%") if shares else None


def facts(config: Config, case: Case, language: str) -> dict[str, str]:
    """The facts about the patient that rules of the case's packs ask for, code -> name in *language*."""
    asked: dict[str, str] = {}
    for name in dict.fromkeys(reading.pack.name for reading in case.readings if reading.pack is not None):
        try:
            rules = PackStore.from_config(config).find(name).manifest.follow_up
        except PackError:
            continue
        asked |= {fact.code: fact.label.text(language) for fact in rules.background} if rules is not None else {}
    return asked


def _measured(manifest: Manifest, pack: PackIdentity) -> Measurement | None:
    """The measured accuracy of the runtime and precision that read the image, on the whole test part."""
    mine = [
        measurement
        for measurement in manifest.measured
        if (measurement.runtime, measurement.precision) == (pack.runtime, pack.precision)
    ]
    return next((measurement for measurement in mine if measurement.split == "test"), None)
