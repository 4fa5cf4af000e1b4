"""The page: weak points, refusals, then the numbers and figures of every file.  From predictions and accounts only."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from converters.data.predictions import Predictions
from converters.evaluation.gates import GateOutcome, GateResult
from converters.evaluation.metrics import Evaluation, Prevalence, evaluation, in_order
from converters.report import figures, reference_section, rendering, weak_section
from converters.report.catalogue import CATALOGUE, both, say
from converters.report.figures import Key
from converters.report.rendering import rate
from converters.report.step_results import Accounts, Quantized
from converters.report.weak_section import FEW_POSITIVES, LITTLE_SPECIFICITY, MISCALIBRATED
from converters.statistics.selective import Point
from converters.workflow.atomic import write_text
from firmware_app.packs.manifest_types import LocalisedText
from firmware_app.packs.tasks.interface import FindingPart


@dataclass(frozen=True, slots=True)
class Subject:
    """What the report is about. ``main`` is the file that the figures show, ``original`` the FP32 one beside it."""

    pack: str
    version: str
    title: LocalisedText
    finding: FindingPart
    weak_points: tuple[LocalisedText, ...]
    split: str
    main: Key
    original: Key | None = None
    prevalence: Prevalence = field(default_factory=Prevalence)
    taught: bool = False
    """The network that ships learnt from a teacher; where a source was left out, it was from the teacher's training."""
    points: tuple[LocalisedText, ...] = ()
    """All weak points, as the card of the finished pack has them; without them the page tells what is known so far."""
    elsewhere: str = ""
    """The section on other places, where the finished pack is known (:mod:`converters.report.elsewhere_section`)."""


def write(path: Path, subject: Subject, predictions: Mapping[Key, Predictions], accounts: Accounts) -> Path:
    """Write the report to ``path``, whole or not at all."""
    return write_text(path, render(subject, predictions, accounts, datetime.now(UTC).date().isoformat()))


def render(subject: Subject, predictions: Mapping[Key, Predictions], accounts: Accounts, day: str) -> str:
    """The page as HTML.

    ``predictions`` are those of each file on the same films, and hold that of ``subject.main``; ``day`` is shown as
    the date.
    """
    rows = {
        key: evaluation(one, subject.finding, subject.pack, *key, subject.split, prevalence=subject.prevalence)
        for key, one in predictions.items()
    }
    main = rows[subject.main]
    original = predictions.get(subject.original) if subject.original else None
    places = figures.places(main.coverage, accounts.unseen) if main.coverage is not None else []
    english, chinese = CATALOGUE["trade_note"]
    unknown, named = CATALOGUE["machine_unknown"], accounts.machine
    return (
        rendering.environment()
        .get_template("page.html.j2")
        .render(
            subject=replace(subject, elsewhere=Markup(subject.elsewhere)),
            accounts=accounts,
            day=day,
            main=main,
            rows=rows,
            weak_points=weak_section.list_items(subject.points) or list(_weak(subject, main, accounts)),
            refusals=list(_refusals(accounts)),
            judged={(file_gates.runtime, file_gates.precision): file_gates.outcome for file_gates in accounts.judged},
            timed={(timed.runtime, timed.precision): timed for timed in accounts.timed},
            subgroups=in_order(main.subgroups),
            reference=both(*reference_section.words(accounts.reference)) if accounts.reference else "",
            trade_note=both(english.format(machine=named or unknown[0]), chinese.format(machine=named or unknown[1])),
            places=[both(*figures.place_name(name)) for name, _ in places],
            coverage=_coverage(places),
            figures={
                "trade": figures.trade(rows, accounts),
                "roc": figures.roc(predictions[subject.main], main, original),
                "reliability": figures.reliability(main),
                "decision": figures.decision(main),
                "pruning": figures.pruning(accounts),
                "coverage": figures.coverage(places) if places else "",
                "explained": figures.explain(accounts),
            },
        )
    )


def _coverage(places: Sequence[figures.Place]) -> list[tuple[float, list[Point]]]:
    """For each share of films with a number: the nearest point of each place's curve."""
    shares = sorted({round(point.given, 1) for _, curve in places for point in curve.points}, reverse=True)
    return [
        (share, [min(curve.points, key=lambda one: abs(one.given - share)) for _, curve in places]) for share in shares
    ]


def _weak(subject: Subject, main: Evaluation, accounts: Accounts) -> Iterator[Markup]:
    """The weak points that people wrote, then those that follow from the numbers."""
    yield from (both(weak_point.en, weak_point.zh) for weak_point in subject.weak_points)
    if main.sensitivity is not None and main.sensitivity < 1.0:
        missed = main.positives - round(main.sensitivity * main.positives)
        value = rate(main.sensitivity, main.sensitivity_ci)
        yield say("weak_sensitivity", missed=missed, positives=main.positives, value=value)
    if main.specificity is not None and main.specificity < LITTLE_SPECIFICITY:
        negatives = main.n - main.positives
        called = negatives - round(main.specificity * negatives)
        value = rate(main.specificity, main.specificity_ci)
        yield say("weak_specificity", called=called, negatives=negatives, value=value)
    if 0 < main.positives < FEW_POSITIVES:
        yield say("weak_few", positives=main.positives, missed=f"{min(100.0, 300.0 / main.positives):.1f}")
    groups = [subgroup for subgroup in main.subgroups if subgroup.sensitivity is not None]
    if groups:
        worst = groups[0]
        yield say(
            "weak_group",
            trait=worst.trait,
            value=worst.value,
            n=worst.n,
            sensitivity=rate(worst.sensitivity, worst.sensitivity_ci),
            specificity=rate(worst.specificity, worst.specificity_ci),
        )
    left_out = [(unseen.auc, unseen) for unseen in accounts.unseen if unseen.auc is not None]
    if left_out:
        area, one = min(left_out, key=lambda pair: pair[0])
        name = "weak_unseen_teacher" if subject.taught else "weak_unseen"
        yield say(name, trait=one.trait, value=one.value, n=one.n, auc=rate(area, one.auc_ci))
    if main.ece is not None and main.ece > MISCALIBRATED:
        yield say("weak_ece", ece=rate(main.ece, main.ece_ci))
    if main.decision_curve is not None and main.decision_curve.useful is None:
        yield say("weak_useless")
    unsure = sum(file_gates.outcome is GateOutcome.INCONCLUSIVE for file_gates in accounts.judged)
    if unsure:
        yield say("weak_inconclusive", count=unsure, all=len(accounts.judged))
    yield from (
        say("weak_int8", runtime=quantized.runtime)
        for quantized in accounts.quantized
        if quantized.tried and not quantized.found
    )


def _refusals(accounts: Accounts) -> Iterator[tuple[str, Markup, str]]:
    """(file, reason as a sentence, the gates' figures) of each refused file."""
    refused = [file_gates for file_gates in accounts.judged if file_gates.outcome is GateOutcome.REFUSED]
    for file_gates in refused:
        against = [gate for gate in file_gates.gates if gate.outcome is GateOutcome.REFUSED]
        detail = "; ".join([*(gate.said for gate in against), file_gates.why]).strip("; ")
        yield f"{file_gates.runtime} {file_gates.precision}", Markup("; ").join(map(_verdict, against)), detail
    known = {file_gates.runtime for file_gates in refused if file_gates.precision == "int8"}
    for search in accounts.quantized:
        if search.tried and not search.found and search.runtime not in known:
            detail = "; ".join(dict.fromkeys(f"{attempt.method}: {attempt.refused}" for attempt in search.tried))
            yield f"{search.runtime} int8", say("weak_int8", runtime=search.runtime), detail


def _verdict(gate: GateResult) -> Markup:
    """What a gate measured, in both languages; a whole negative margin counts films."""
    if gate.gate == "sensitivity" and (gate.margin == 0.0 or gate.margin <= -1.0):
        return say("gate_lost", measured=f"{-gate.measured:.0f}", margin=f"{-gate.margin:.0f}")
    if gate.gate in ("auc", "sensitivity"):
        return say(f"gate_{gate.gate}", measured=f"{gate.measured:+.4f}", margin=f"{gate.margin:+g}")
    if gate.gate == "speed":
        return say("gate_speed", measured=f"{gate.measured:.2f}", margin=f"{gate.margin:g}")
    if gate.gate in ("int8 share", "shipped int8 share"):
        return say("gate_int8_share", measured=f"{gate.measured:.0%}", margin=f"{gate.margin:.0%}")
    if gate.gate == "explanation":
        return say("gate_explanation", measured=f"{gate.measured:.3f}", margin=f"{gate.margin:g}")
    if gate.gate == "parity":
        return say("gate_parity", measured=f"{gate.measured:.2g}", margin=f"{gate.margin:g}")
    if gate.gate in ("shipped parity", "shipped logits", "shipped calls", "golden", "golden parity"):
        name = f"gate_{gate.gate.replace(' ', '_')}"
        return say(name, measured=f"{gate.measured:.3g}", margin=f"{gate.margin:g}")
    return say("gate_other", gate=gate.gate, measured=f"{gate.measured:.4g}", margin=f"{gate.margin:g}")


def requantize(searches: Sequence[Quantized], refused: Mapping[str, str], before: str, day: str) -> str:
    """A section on INT8 files that were made anew after the page was written; ``refused``: runtime → why, or nothing.

    ``before`` is the version whose files all other sections tell of.
    """
    why = [(runtime, reason) for runtime, reason in refused.items() if reason]
    return str(rendering.part("requantized", searches, why, before, day))
