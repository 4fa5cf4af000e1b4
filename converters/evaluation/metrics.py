"""The measures of one set of predictions; every number of a card, gate or report is computed here, from values only.

Sensitivity and specificity are at the pack's own frozen threshold; nothing is fitted.  Intervals are 95 %, whole
patients resampled (rates: :func:`converters.statistics.intervals.rate_interval`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import SLICE
from converters.data.predictions import Predictions
from converters.evaluation.gates import judge
from converters.evaluation.threshold import odds
from converters.failures import DataUnreadable
from converters.recipe_tables import Gate
from converters.statistics import calibration, decision, intervals, paired, selective
from converters.statistics.agreement import Statistic
from converters.statistics.lesions import LesionResults
from firmware_app.packs.tasks import classify
from firmware_app.packs.tasks.classify import Calibration
from firmware_app.packs.tasks.interface import FindingPart

DIGITS = 4
FIXED_SPECIFICITIES = (0.90, 0.95)
FEWEST_OF_A_CLASS = 10
"""A subgroup with fewer films of either class has no AUC worth a line; its rates are shown with their intervals."""

NO_FILM, NO_NEGATIVE, NO_POSITIVE = "there is no film", "no film is without the finding", "no film shows the finding"

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The films of one trait (``view`` = ``AP``)."""

    trait: str
    value: str
    n: int
    positives: int
    auc: float | None
    auc_ci: Interval | None
    sensitivity: float | None
    sensitivity_ci: Interval | None
    specificity: float | None
    specificity_ci: Interval | None


@dataclass(frozen=True, slots=True)
class FixedSpecificity:
    """The largest sensitivity at a specificity of at least ``specificity``, whatever the threshold."""

    specificity: float
    sensitivity: float | None
    sensitivity_ci: Interval | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One row of a card, with its details. Fractions; ``None`` where a number does not apply."""

    pack: str
    runtime: str
    precision: str
    split: str
    n: int
    positives: int
    auc: float | None
    auc_ci: Interval | None
    threshold: float
    sensitivity: float | None
    sensitivity_ci: Interval | None
    specificity: float | None
    specificity_ci: Interval | None
    dice: float | None = None
    lesion_sensitivity: float | None = None
    false_positives_per_image: float | None = None
    dice_ci: Interval | None = None
    lesion_sensitivity_ci: Interval | None = None
    without_mark: float | None = None
    """Of the films without a lesion, the share on which nothing is marked."""
    without_mark_ci: Interval | None = None
    organ_dice: float | None = None
    organ_dice_ci: Interval | None = None
    ece: float | None = None
    ece_ci: Interval | None = None
    brier: float | None = None
    brier_ci: Interval | None = None
    unfit: int = 0
    """Films that no model may see; they are not among ``n``."""
    passed: float | None = None
    """The share of films that get a number on the box, being familiar to the pack, and it being sure of them;
    ``…_passed`` is of these alone. ``None`` where the pack says nothing of either."""
    passed_ci: Interval | None = None
    auc_passed: float | None = None
    auc_passed_ci: Interval | None = None
    sensitivity_passed: float | None = None
    sensitivity_passed_ci: Interval | None = None
    specificity_passed: float | None = None
    specificity_passed_ci: Interval | None = None
    wrong: float | None = None
    """The share of films that the threshold calls what they are not."""
    wrong_ci: Interval | None = None
    wrong_passed: float | None = None
    wrong_passed_ci: Interval | None = None
    at_specificity: tuple[FixedSpecificity, ...] = ()
    reliability: tuple[calibration.Bin, ...] = ()
    decision_curve: decision.Curve | None = None
    coverage: selective.Curve | None = None
    """How many films are called wrongly where only the surest ones get a number."""
    subgroups: tuple[Subgroup, ...] = ()
    lesions: LesionResults | None = None
    statistics: tuple[Statistic, ...] = ()
    """The task's own numbers: of the other findings, of all, of grades and measurements."""

    def as_dict(self) -> dict[str, Any]:
        """The contract's object first, then further keys; numbers to four places."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}

    def row(self) -> dict[str, Any]:
        """One row of a manifest: the contract's numbers without the pack's name, calibration, fixed specificities."""
        names = [field.name for field in fields(self)]
        made = {name: getattr(self, name) for name in names[1 : names.index("at_specificity")]}
        for fixed_specificity in self.at_specificity:
            key = f"sensitivity_at_{fixed_specificity.specificity:.0%}".rstrip("%")
            made |= {key: fixed_specificity.sensitivity, f"{key}_ci": fixed_specificity.sensitivity_ci}
        if self.statistics:
            made["statistics"] = self.statistics
        return {name: plain(value) for name, value in made.items()}


def plain(value: Any) -> Any:
    """Values of an evaluation as JSON has them, numbers to four places."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if hasattr(value, "as_dict"):
        return plain(value.as_dict())
    if isinstance(value, (Subgroup, FixedSpecificity)):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value


def calibration_of(spec: FindingPart) -> Calibration:
    """The finding's calibration; the identity for a task whose scores are log odds already."""
    own = getattr(spec, "calibration", None)
    return own if isinstance(own, Calibration) else Calibration(kind="platt", slope=1.0, intercept=0.0)


def probabilities(predictions: Predictions, spec: FindingPart) -> NDArray[np.float64]:
    """(N,) calibrated probabilities, by the box's own arithmetic."""
    return probabilities_of(predictions.logits, spec)


def probabilities_of(logits: NDArray[np.float64], spec: FindingPart) -> NDArray[np.float64]:
    """(N,) logits of a finding → its calibrated probabilities."""
    fit = calibration_of(spec)
    return np.array([classify.calibrate(float(logit), fit) for logit in logits])


def threshold_logit(spec: FindingPart) -> float:
    """The frozen threshold before calibration, as the gates take it."""
    fit = calibration_of(spec)
    return (odds(spec.threshold) - fit.intercept) / fit.slope


@dataclass(frozen=True, slots=True)
class Prevalence:
    """Prevalence of the finding in the calibration films, and at the clinic, where it is set."""

    calibrated: float | None = None
    clinic: float | None = None

    def shift(self, labels: NDArray[np.int64]) -> float:
        """The shift of calibrated log odds for the clinic's prevalence; from the films' own prevalence where none was
        recorded."""
        return 0.0 if self.clinic is None else odds(self.clinic) - odds(self.calibrated or float(labels.mean()))


def evaluation(
    predictions: Predictions,
    spec: FindingPart,
    pack: str,
    runtime: str,
    precision: str,
    split: str,
    lesions: LesionResults | None = None,
    given: NDArray[np.bool_] | None = None,
    prevalence: Prevalence = Prevalence(),
) -> Evaluation:
    """All numbers of one finding on one set of films. Raises :class:`DataUnreadable` without any film.

    ``given`` (N,): for which films the box gives a number, where the pack says anything of that.
    """
    if not len(predictions):
        raise DataUnreadable(split, "there are no films")
    labels, scores, patients = predictions.labels, probabilities(predictions, spec), predictions.patients
    rates = rates_at(labels, scores, spec.threshold, patients)
    meant = calibration.reliability(labels, scores, patients)
    made = Evaluation(
        pack=pack,
        runtime=runtime,
        precision=precision,
        split=split,
        n=len(labels),
        positives=int(labels.sum()),
        auc=intervals.auc(labels, scores),
        auc_ci=intervals.auc_interval(labels, scores, patients),
        threshold=spec.threshold,
        **rates,
        ece=meant.ece,
        ece_ci=meant.ece_ci,
        brier=meant.brier,
        brier_ci=meant.brier_ci,
        reliability=meant.bins,
        at_specificity=tuple(
            at_specificity(labels, scores, patients, fixed_specificity) for fixed_specificity in FIXED_SPECIFICITIES
        ),
        decision_curve=decision.curve(
            labels, at_clinic(scores, prevalence.shift(labels)), patients, prevalence=prevalence.clinic
        ),
        subgroups=subgroups(predictions, scores, spec.threshold),
        lesions=lesions,
        **wrong_at(labels, scores, spec.threshold, patients),
        coverage=selective.curve(labels, predictions.logits - threshold_logit(spec), patients),
    )
    if given is not None:
        made = replace(made, **measure_given(labels, scores, spec.threshold, patients, given))
    if lesions is None:
        return made
    return replace(
        made,
        dice=lesions.dice,
        lesion_sensitivity=lesions.lesions.value,
        false_positives_per_image=lesions.false_per_film,
        dice_ci=lesions.dice_ci,
        lesion_sensitivity_ci=lesions.lesions_ci,
        without_mark=lesions.clean.value,
        without_mark_ci=lesions.clean_ci,
        organ_dice=lesions.organ,
        organ_dice_ci=lesions.organ_ci,
    )


def rates_at(
    labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float, patients: Sequence[str]
) -> dict[str, Any]:
    """Sensitivity and specificity with their intervals, as an evaluation and a subgroup name them."""
    rates: dict[str, Any] = {}
    for name, label, hits in (("sensitivity", 1, scores >= threshold), ("specificity", 0, scores < threshold)):
        inside = labels == label
        people = [patient for patient, chosen in zip(patients, inside, strict=True) if chosen]
        rates[name] = float(hits[inside].mean()) if people else None
        rates[f"{name}_ci"] = intervals.rate_interval(hits[inside], people)
    return rates


def wrong_at(
    labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float, patients: Sequence[str]
) -> dict[str, Any]:
    """The share of films that the threshold calls what they are not, with its interval."""
    wrong = (scores >= threshold) != (labels == 1)
    return {"wrong": float(wrong.mean()) if len(wrong) else None, "wrong_ci": intervals.rate_interval(wrong, patients)}


def list_undefined(labels: NDArray[np.int64]) -> dict[str, str]:
    """Why films of one class, or none at all, give no AUC, sensitivity, specificity or error: measure → sentence."""
    if not len(labels):
        return dict.fromkeys(("auc", "sensitivity", "specificity", "wrong"), NO_FILM)
    if labels.all():
        return dict.fromkeys(("auc", "specificity"), NO_NEGATIVE)
    return {} if labels.any() else dict.fromkeys(("auc", "sensitivity"), NO_POSITIVE)


def measure_given(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    threshold: float,
    patients: Sequence[str],
    given: NDArray[np.bool_],
) -> dict[str, Any]:
    """The share of films that get a result on the box, and the accuracy on them."""
    truth, own = labels[given], scores[given]
    people = [patient for patient, inside in zip(patients, given, strict=True) if inside]
    numbers = {
        "auc": intervals.auc(truth, own),
        "auc_ci": intervals.auc_interval(truth, own, people),
        **rates_at(truth, own, threshold, people),
        **wrong_at(truth, own, threshold, people),
    }
    names = {name: f"{name.removesuffix('_ci')}_passed{'_ci' if name.endswith('_ci') else ''}" for name in numbers}
    share, interval = float(given.mean()), intervals.rate_interval(given, patients)
    return {"passed": share, "passed_ci": interval} | {names[name]: value for name, value in numbers.items()}


def at_clinic(scores: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Probabilities (N,) whose log odds are moved by ``shift``."""
    kept = np.clip(scores, 1e-12, 1.0 - 1e-12)
    return scores if not shift else np.asarray(1.0 / (1.0 + (1.0 - kept) / kept * np.exp(-shift)), dtype=np.float64)


def at_specificity(
    labels: NDArray[np.int64], scores: NDArray[np.float64], patients: Sequence[str], specificity: float
) -> FixedSpecificity:
    """Sensitivity at a fixed specificity; its interval re-chooses the threshold in every resample."""
    value = intervals.sensitivity_at_specificity(labels, scores, specificity)
    if value is None:
        return FixedSpecificity(specificity, None, None)
    drawn = (
        intervals.sensitivity_at_specificity(labels, scores, specificity, weights)
        for weights in intervals.resamples(labels, patients)
    )
    return FixedSpecificity(specificity, value, intervals.limits(drawn))


def subgroups(predictions: Predictions, scores: NDArray[np.float64], threshold: float) -> tuple[Subgroup, ...]:
    """A row for every value of every trait, the weakest first.

    The weakest group has the lowest upper ends of both rates' intervals; lower ends would only name the smallest group.
    """
    groups: list[Subgroup] = []
    for trait, value in sorted({pair for traits in predictions.traits for pair in traits.items()}):
        chosen = np.array([traits.get(trait) == value for traits in predictions.traits])
        labels, own = predictions.labels[chosen], scores[chosen]
        patients = [name for name, inside in zip(predictions.patients, chosen, strict=True) if inside]
        positives = int(labels.sum())
        enough = min(positives, len(labels) - positives) >= FEWEST_OF_A_CLASS
        groups.append(
            Subgroup(
                trait=trait,
                value=value,
                n=len(labels),
                positives=positives,
                auc=intervals.auc(labels, own) if enough else None,
                auc_ci=intervals.auc_interval(labels, own, patients) if enough else None,
                **rates_at(labels, own, threshold, patients),
            )
        )
    return tuple(sorted(groups, key=_hope))


def in_order(groups: Sequence[Subgroup]) -> tuple[Subgroup, ...]:
    """Sort for a table: the weakest first, then time slices from the oldest to the newest."""
    return tuple(sorted(groups, key=lambda one: (one.trait == SLICE, one.value if one.trait == SLICE else "")))


def _hope(one: Subgroup) -> float:
    return sum(interval[1] if interval else 1.0 for interval in (one.sensitivity_ci, one.specificity_ci))


def against(original: Predictions, other: Predictions, spec: FindingPart, gate: Gate | None = None) -> dict[str, Any]:
    """``other`` compared with the original on the same films: paired differences with intervals, and the gates'
    sentences.

    Raises :class:`DataUnreadable` when the films differ, or when a class has fewer than two films.
    """
    cut = threshold_logit(spec)
    before, after = original.logits >= cut, other.logits >= cut
    try:
        verdicts = judge(original, other, cut, gate or Gate())
        area = paired.auc(original.labels, original.logits, other.logits, original.patients)
        delong = paired.delong(original.labels, original.logits, other.logits)
        sensitivity = paired.sensitivity(original.labels, before, after, original.patients)
    except ValueError as error:
        raise DataUnreadable("--against", str(error)) from error
    lost, won = paired.count_lost_and_won(original.labels, before, after)
    return {
        "auc_difference": area.as_list(),
        "auc_difference_delong": delong.as_list(),
        "sensitivity_difference": sensitivity.as_list(),
        "lost": lost,
        "won": won,
        "gates": [verdict.as_dict() for verdict in verdicts],
    }
