"""The page: weak points, refusals, then the numbers and figures of every file.  From predictions and accounts only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from converters.data.predictions import Predictions
from converters.evaluation.gates import GateOutcome, GateResult
from converters.evaluation.metrics import Evaluation, Interval, Prevalence, evaluation, in_order
from converters.report import coverage_section, figures, reference_section, weak_section
from converters.report.catalogue import CATALOGUE, both, say
from converters.report.figures import MEGABYTE, Key
from converters.report.step_results import Accounts, Attempt, FileGates, Quantized
from converters.report.style import STYLE
from converters.report.table import table
from converters.report.weak_section import FEW_POSITIVES, LITTLE_SPECIFICITY, MISCALIBRATED
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
    return write_text(path, rendered(subject, predictions, accounts, datetime.now(UTC).date().isoformat()))


def rendered(subject: Subject, predictions: Mapping[Key, Predictions], accounts: Accounts, day: str) -> str:
    """The page as HTML.

    ``predictions`` are those of each file on the same films, and hold that of ``subject.main``; ``day`` is shown as
    the date.
    """
    rows = {
        key: evaluation(one, subject.finding, subject.pack, *key, subject.split, prevalence=subject.prevalence)
        for key, one in predictions.items()
    }
    main = rows[subject.main]
    title = f"{subject.title.en} · {subject.title.zh}"
    body = [
        f"<header><h1>{both(subject.title.en, subject.title.zh)}</h1>",
        (
            f"<p class='sub'>{say('report')} · <code>{escape(subject.pack)}</code> · "
            f"{say('written', version=subject.version, day=day)}</p>"
        ),
        f"<p class='warn'>{say('not_diagnostic')}</p></header>",
        subject.elsewhere,
        weak_section.section(weak_section.listed(subject.points) or _weak(subject, main, accounts)),
        _section("unseen", _note("unseen_teacher" if subject.taught else "unseen_note"), _unseen(subject, accounts))
        if accounts.unseen
        else "",
        _section("refusals", _refusals(accounts)),
        _section("numbers", _intervals(subject, main), _numbers(rows, accounts)),
        reference_section.section(accounts.reference) if accounts.reference else "",
        *_figures(subject, predictions, rows, accounts),
        _section("subgroups", _subgroups(main)) if main.subgroups else "",
        _section("tried", _tried(accounts)) if accounts.quantized else "",
        _section("explained", *_maps(accounts), *_explained(accounts), *_examples(accounts))
        if accounts.mapped or accounts.explained or accounts.examples
        else "",
        _section("training", _training(accounts)) if accounts.trained else "",
    ]
    switch = (
        '<input type="radio" name="language" id="en" checked><input type="radio" name="language" id="zh">'
        '<nav><label for="en">English</label><label for="zh">中文</label></nav>'
    )
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    lines = ("<!DOCTYPE html>", f'<html lang="en"><head>{head}</head>', f"<body>{switch}<main>", *filter(None, body))
    return "\n".join((*lines, "</main></body>", "</html>", ""))


def _figures(
    subject: Subject, predictions: Mapping[Key, Predictions], rows: Mapping[Key, Evaluation], accounts: Accounts
) -> Iterable[str]:
    main = rows[subject.main]
    if drawn := figures.trade(rows, accounts):
        english, chinese = CATALOGUE["trade_note"]
        unknown, named = CATALOGUE["machine_unknown"], accounts.machine
        note = both(english.format(machine=named or unknown[0]), chinese.format(machine=named or unknown[1]))
        yield _section("trade", f"<p class='note'>{note}</p>", drawn)
    original = predictions.get(subject.original) if subject.original else None
    yield "<div class='pairs'>"
    for key, drawn in (
        ("roc", figures.roc(predictions[subject.main], main, original)),
        ("reliability", figures.reliability(main)),
        ("decision", figures.decision(main)),
    ):
        if drawn:
            share = main.decision_curve.prevalence if main.decision_curve else 0.0
            useless = key == "decision" and main.decision_curve is not None and main.decision_curve.useful is None
            warning = [f"<p><b>{say('weak_useless')}</b></p>"] if useless else []
            yield _section(key, drawn, _note(f"{key}_note", prevalence=f"{share:.0%}"), *warning)
    if drawn := figures.pruning(accounts):
        kept = f"{accounts.pruning.kept:.0%}" if accounts.pruning else ""
        yield _section("pruning", drawn, _note("pruning_note", kept=kept))
    yield "</div>"
    if main.coverage is not None:
        places = coverage_section.places(main.coverage, accounts.unseen)
        drawn, told = coverage_section.figure(places), table(*coverage_section.rows(places))
        yield _section("coverage", drawn, _note("coverage_note"), told)


def _weak(subject: Subject, main: Evaluation, accounts: Accounts) -> Iterable[str]:
    """The weak points that people wrote, then those that follow from the numbers."""
    yield from (both(one.en, one.zh) for one in subject.weak_points)
    if main.sensitivity is not None and main.sensitivity < 1.0:
        missed = main.positives - round(main.sensitivity * main.positives)
        value = _rate(main.sensitivity, main.sensitivity_ci)
        yield say("weak_sensitivity", missed=missed, positives=main.positives, value=value)
    if main.specificity is not None and main.specificity < LITTLE_SPECIFICITY:
        negatives = main.n - main.positives
        called = negatives - round(main.specificity * negatives)
        value = _rate(main.specificity, main.specificity_ci)
        yield say("weak_specificity", called=called, negatives=negatives, value=value)
    if 0 < main.positives < FEW_POSITIVES:
        yield say("weak_few", positives=main.positives, missed=f"{min(100.0, 300.0 / main.positives):.1f}")
    groups = [one for one in main.subgroups if one.sensitivity is not None]
    if groups:
        worst = groups[0]
        yield say(
            "weak_group",
            trait=worst.trait,
            value=worst.value,
            n=worst.n,
            sensitivity=_rate(worst.sensitivity, worst.sensitivity_ci),
            specificity=_rate(worst.specificity, worst.specificity_ci),
        )
    left_out = [(one.auc, one) for one in accounts.unseen if one.auc is not None]
    if left_out:
        area, one = min(left_out, key=lambda pair: pair[0])
        name = "weak_unseen_teacher" if subject.taught else "weak_unseen"
        yield say(name, trait=one.trait, value=one.value, n=one.n, auc=_rate(area, one.auc_ci))
    if main.ece is not None and main.ece > MISCALIBRATED:
        yield say("weak_ece", ece=_rate(main.ece, main.ece_ci))
    if main.decision_curve is not None and main.decision_curve.useful is None:
        yield say("weak_useless")
    unsure = sum(one.outcome is GateOutcome.INCONCLUSIVE for one in accounts.judged)
    if unsure:
        yield say("weak_inconclusive", count=unsure, all=len(accounts.judged))
    yield from (say("weak_int8", runtime=one.runtime) for one in accounts.quantized if one.tried and not one.found)


def _refusals(accounts: Accounts) -> str:
    refused = [one for one in accounts.judged if one.outcome is GateOutcome.REFUSED]
    said = [f"<b>{escape(one.runtime)} {escape(one.precision)}</b> {_why(one)}" for one in refused]
    known = {one.runtime for one in refused if one.precision == "int8"}
    for search in accounts.quantized:
        if search.tried and not search.found and search.runtime not in known:
            detail = "; ".join(dict.fromkeys(f"{one.method}: {one.refused}" for one in search.tried))
            none = say("weak_int8", runtime=search.runtime)
            said.append(f"<b>{escape(search.runtime)} int8</b> {none}<small lang='en'>{escape(detail)}</small>")
    return _list(said) if said else f"<p>{say('refused_none')}</p>"


def _why(one: FileGates) -> str:
    said = "; ".join(_verdict(gate) for gate in one.gates if gate.outcome is GateOutcome.REFUSED)
    detail = "; ".join([*(gate.said for gate in one.gates if gate.outcome is GateOutcome.REFUSED), one.why]).strip("; ")
    return f"{said}<small lang='en'>{escape(detail)}</small>"


def _verdict(gate: GateResult) -> str:
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


def _intervals(subject: Subject, main: Evaluation) -> str:
    return _note("intervals", threshold=f"{main.threshold:g}", split=subject.split, n=main.n, positives=main.positives)


def _numbers(rows: Mapping[Key, Evaluation], accounts: Accounts) -> str:
    judged = {(one.runtime, one.precision): one.outcome for one in accounts.judged}
    timed = {(one.runtime, one.precision): one for one in accounts.timed}
    head = (
        "runtime",
        "precision",
        "verdict",
        "auc",
        "sensitivity",
        "specificity",
        "at_90",
        "at_95",
        "ece",
        "brier",
        "milliseconds",
        "size",
    )
    lines = []
    for key, row in rows.items():
        outcome, speed = judged.get(key), timed.get(key)
        lines.append(
            (
                escape(key[0]),
                escape(key[1]),
                _badge(outcome) if outcome else "–",
                _stacked(row.auc, row.auc_ci),
                _stacked(row.sensitivity, row.sensitivity_ci),
                _stacked(row.specificity, row.specificity_ci),
                *(_stacked(one.sensitivity, one.sensitivity_ci) for one in row.at_specificity),
                _stacked(row.ece, row.ece_ci),
                _stacked(row.brier, row.brier_ci),
                f"{speed.milliseconds:.2f}" if speed else "–",
                f"{speed.bytes / MEGABYTE:.2f}" if speed and speed.bytes else "–",
            )
        )
    return table([say(key) for key in head], lines)


def _subgroups(main: Evaluation) -> str:
    head = [say(key) for key in ("group", "films", "auc", "sensitivity", "specificity")]
    return table(
        head,
        (
            (
                f"{escape(one.trait)} = {escape(one.value)}",
                f"{one.n} ({one.positives})",
                _stacked(one.auc, one.auc_ci),
                _stacked(one.sensitivity, one.sensitivity_ci),
                _stacked(one.specificity, one.specificity_ci),
            )
            for one in in_order(main.subgroups)
        ),
    )


def _unseen(subject: Subject, accounts: Accounts) -> str:
    head = [say(key) for key in ("left_out", "network", "films", "learnt_from", "auc", "sensitivity", "specificity")]
    network = say("teacher" if subject.taught else "same_kind")
    return table(
        head,
        (
            (
                f"{escape(one.trait)} = {escape(one.value)}",
                network,
                f"{one.n} ({one.positives})",
                str(one.learnt_from),
                _stacked(one.auc, one.auc_ci),
                _stacked(one.sensitivity, one.sensitivity_ci),
                _stacked(one.specificity, one.specificity_ci),
            )
            for one in accounts.unseen
        ),
    )


def _method(one: Attempt) -> str:
    return f"{escape(one.method)} · {say('qat')}" if one.qat else escape(one.method)


def requantized(searches: Sequence[Quantized], refused: Mapping[str, str], before: str, day: str) -> str:
    """A section on INT8 files that were made anew after the page was written; ``refused``: runtime → why, or nothing.

    ``before`` is the version whose files all other sections tell of.
    """
    said = [
        f"<b>{escape(runtime)} int8</b> <small lang='en'>{escape(why)}</small>"
        for runtime, why in refused.items()
        if why
    ]
    parts = (
        f"<h2>{say('requantized')}</h2>\n",
        _note("requantized_note", before=before, day=day),
        _tried(Accounts(quantized=tuple(searches))),
        _list(said) if said else "",
    )
    return f"<section class='requantized'>{''.join(parts)}</section>"


def _tried(accounts: Accounts) -> str:
    head = [say(key) for key in ("runtime", "method", "int8_layers", "moved", "times_as_fast", "why")]
    return table(
        head,
        (
            (
                escape(search.runtime),
                _method(one),
                f"{one.layers[0]} / {one.layers[1]}" if one.layers else "–",
                f"{one.moved:.3f}",
                f"{one.times_as_fast:.2f} ×" if one.times_as_fast is not None else "–",
                f"<small lang='en'>{escape(one.refused)}</small>" if one.refused else "–",
            )
            for search in accounts.quantized
            for one in search.tried
        ),
    )


def _maps(accounts: Accounts) -> Iterable[str]:
    if accounts.mapped:
        yield _note("mapped_note")
        head = [say(key) for key in ("runtime", "precision", "count", "mean", "median", "least", "evidence")]
        yield table(
            head,
            (
                (
                    escape(one.runtime),
                    escape(one.precision),
                    str(one.n),
                    f"{one.mean:.3f}",
                    f"{one.median:.3f} <small>{one.low:.3f}</small>",
                    f"{one.least:.3f}",
                    "–" if one.evidence is None else f"{one.evidence:.3f} <small>n = {one.evidence_n}</small>",
                )
                for one in accounts.mapped
            ),
        )
    if accounts.pointing:
        pointing = accounts.pointing
        rate, chance = _rate(pointing["share"], tuple(pointing["share_ci"])), f"{pointing['chance']:.3f}"
        yield f"<p>{say('pointing', hits=pointing['hits'], n=pointing['n'], rate=rate, chance=chance)}</p>"


def _explained(accounts: Accounts) -> Iterable[str]:
    if accounts.explained:
        yield _note("explained_note")
        head = [say("method"), say("median_spread"), say("count")]
        yield table(
            head,
            (
                (
                    say(name) if name in CATALOGUE else escape(name),
                    f"{one['median']:.2f} ({one['low']:.2f} – {one['high']:.2f})",
                    str(one["films"]),
                )
                for name, one in accounts.explained
            ),
        )


def _examples(accounts: Accounts) -> Iterable[str]:
    if accounts.examples:
        yield _note("drawn_note")
        yield f"<div class='maps'>{''.join(figures.explained(accounts))}</div>"


def _training(accounts: Accounts) -> str:
    head = [say(key) for key in ("stage", "fold", "auc", "parameters", "multiplications")]
    return table(
        head,
        (
            (
                say(one.stage),
                escape(one.fold),
                "–" if one.auc is None else f"{one.auc:.3f}",
                "–" if one.parameters is None else f"{one.parameters:,}",
                "–" if one.multiplications is None else f"{one.multiplications / 1e6:,.0f} M",
            )
            for one in accounts.trained
        ),
    )


def _badge(outcome: GateOutcome) -> str:
    return f"<b class='{outcome.value}'>{say(outcome.value)}</b>"


def _rate(value: float | None, interval: Interval | None) -> str:
    return "–" if value is None or interval is None else f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"


def _stacked(value: float | None, interval: Interval | None) -> str:
    if value is None or interval is None:
        return "–"
    return f"{value:.3f}<small>{interval[0]:.3f}–{interval[1]:.3f}</small>"


def _section(key: str, *parts: str) -> str:
    return f"<section class='{key}'><h2>{say(key)}</h2>\n" + "\n".join(parts) + "</section>"


def _note(key: str, **values: object) -> str:
    return f"<p class='note'>{say(key, **values)}</p>"


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
