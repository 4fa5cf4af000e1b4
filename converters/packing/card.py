"""The card of a pack, for people: other places first, then weak points, then the numbers of home, then how it was made.

From the manifest only.

Gates, refusals and calibration are shown where the manifest has them: ``gates`` [{runtime, precision, outcome, said}],
``refused`` [{runtime, precision, why}], and in ``measured`` the keys of :data:`CALIBRATION`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from converters import tasks
from converters.packing import card_notes, weak_points
from converters.packing.weak_points import rate
from converters.report import elsewhere_section, reference_section, weak_section
from converters.report.catalogue import pair
from firmware_app.packs import manifest_types, pack_folder
from firmware_app.packs.evidence import GoldenCase, Measurement, ReferenceAgreement
from firmware_app.packs.manifest import AbstentionRange, Manifest, TypicalityFile
from firmware_app.packs.requirements import QualityPolicy, Route
from firmware_app.packs.tasks.interface import FindingPart

NAME = "CARD.md"
CALIBRATION = ("ece", "brier", "sensitivity_at_90", "sensitivity_at_95")
"""Keys of a measured row beside the contract's, each with its interval under ``…_ci``."""


def write(folder: Path) -> Path:
    """Write ``CARD.md`` beside the manifest of ``folder``."""
    path = folder / NAME
    path.write_text(text(Manifest.load(folder)), encoding="utf-8")
    return path


def rewrite(folder: Path) -> Path:
    """Write the card, and its weak points into the report, and update the digests of both."""
    manifest, path = Manifest.load(folder), write(folder)
    weak_section.rewrite(folder, manifest.title, weak_points.points(manifest), elsewhere_section.section(manifest))
    if (folder / pack_folder.SUMS_FILE).is_file():  # without it the pack was never finished
        pack_folder.write_sums(folder)
    return path


def text(manifest: Manifest) -> str:
    """The card as Markdown."""
    finding = manifest.findings[0]
    fields = manifest.model_dump(mode="json")
    elsewhere = any(" OUT/" in row.command for row in manifest.measured)
    parts = [
        f"# {manifest.title.en} · {manifest.title.zh}",
        f"`{manifest.name}` {manifest.version}. {card_notes.NOT_DIAGNOSTIC}",
        *_describe_external(manifest),
        "## Weak points",
        *(f"- {point.en}\n  {point.zh}" for point in weak_points.points(manifest)),
        "## Not for",
        f"{manifest.not_for.en}\n\n{manifest.not_for.zh}",
        *_not_looked_for(manifest),
        "## Intended use",
        f"{manifest.intended_use.en}\n\n{manifest.intended_use.zh}",
        _route(manifest.route) + _least_size(manifest.quality),
        "## Numbers",
        card_notes.HOW_MEASURED,
        *_looks(manifest),
        _table(
            ("runtime", "precision", "films", "n (positive)", "AUC", "sensitivity", "specificity"),
            (_measure(row) for row in manifest.measured if not row.unseen),
        ),
        card_notes.HOW_PRINTED_ELSEWHERE if elsewhere else card_notes.HOW_PRINTED,
        "```\n" + "\n".join(dict.fromkeys(row.command for row in manifest.measured)) + "\n```",
        *_list_passed(fields["measured"], manifest.typicality),
        *_describe_abstention(manifest.measured, manifest.abstain),
        *_gates(fields.get("gates") or (), fields.get("refused") or ()),
        *_reference(manifest.reference),
        *_statistics(manifest.measured),
        *_outlines(fields["measured"]),
        *_calibration(fields["measured"]),
        *_maps(fields.get("maps") or (), fields.get("pointing")),
        "## The decision",
        _decision(manifest),
        "## Data",
        _table(
            ("data set", "use", "films", "patients", "licence", "citation"),
            (
                (
                    data_source.name,
                    data_source.use,
                    _or_dash(data_source.n_images),
                    _or_dash(data_source.n_patients),
                    data_source.licence,
                    data_source.citation,
                )
                for data_source in manifest.data
            ),
        ),
        *_licence(manifest.weights_licence),
        "## Files",
        _table(
            ("file", "runtime", "precision", "opset", "bytes", "sha256"),
            (
                (
                    f"`{artefact.path}`",
                    artefact.runtime,
                    artefact.precision,
                    str(artefact.opset or "–"),
                    f"{artefact.bytes:,}",
                    f"`{artefact.sha256[:16]}…`",
                )
                for artefact in manifest.artefacts
            ),
        ),
        *_describe_steps(manifest.made_by),
        "## Golden cases",
        card_notes.WHAT_GOLDEN,
        _table(
            ("image", "kind", "fp32", "int8", "tolerance fp32 / int8", "distance"),
            (_golden(golden_case, manifest) for golden_case in manifest.golden),
        ),
        *_undrawn(manifest, finding),
    ]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ").replace("points\n- ", "points\n\n- ") + "\n"


def _licence(of_weights: str | None) -> Iterable[str]:
    """The licence; empty for a pack older than this field."""
    if of_weights is not None:
        yield "## Licence of the weights"
        note = card_notes.NON_COMMERCIAL if manifest_types.is_non_commercial(of_weights) else card_notes.LICENSED
        yield note.format(licence=manifest_types.format_licence(of_weights), spdx=of_weights)


def _describe_external(manifest: Manifest) -> Iterable[str]:
    """The results of other hospitals, or one sentence that it was not tried there."""
    yield "## Elsewhere"
    yield "\n\n".join(pair("elsewhere_how" if manifest.measured_elsewhere else "elsewhere_nobody"))
    if elsewhere_section.unseen(manifest):
        yield card_notes.HOW_UNSEEN
    rows = [(row.runtime, row.precision, row.films.en, *row.rest) for row in elsewhere_section.rows(manifest)]
    if rows:
        head = (
            "runtime",
            "precision",
            "films",
            "n (positive)",
            "AUC",
            "sensitivity",
            "specificity",
            "wrong",
            "get a number",
        )
        yield _table(head, rows)
    remarks = (
        word
        for external_validation in manifest.measured_elsewhere
        for word in elsewhere_section.remarks(external_validation)
    )
    if said := [f"* {word.en}\n  {word.zh}" for word in remarks]:
        yield "\n".join(said)
    if commands := dict.fromkeys(row.command for row in manifest.measured_elsewhere):
        yield card_notes.HOW_PRINTED_AWAY
        yield "```\n" + "\n".join(commands) + "\n```"


def _not_looked_for(manifest: Manifest) -> Iterable[str]:
    if manifest.not_looked_for is not None:
        yield f"Not looked for: {manifest.not_looked_for.en}.\n\n未判读：{manifest.not_looked_for.zh}。"


def _looks(manifest: Manifest) -> Iterable[str]:
    part = manifest.test_part
    if part is not None:
        times = "once" if part.looks == 1 else f"{part.looks} times"
        yield card_notes.HOW_OFTEN.format(films=part.films, digest=part.sha256[:16], times=times)


def _list_passed(rows: Sequence[Mapping[str, Any]], typical: TypicalityFile | None) -> Iterable[str]:
    shown = [row for row in rows if row.get("passed") is not None or row.get("unfit")]
    if shown:
        yield "## Films that get a number"
        yield card_notes.HOW_PASSED
        if typical is not None and typical.varied:
            yield card_notes.HOW_VARIED.format(films=typical.films, passes=typical.passes)
        keys = ("passed", "auc_passed", "sensitivity_passed", "specificity_passed")
        yield _table(
            ("runtime", "precision", "films", "unfit", "familiar", "AUC", "sensitivity", "specificity"),
            (
                (
                    row["runtime"],
                    row["precision"],
                    row["split"],
                    str(row.get("unfit", 0)),
                    *(rate(row.get(key), row.get(f"{key}_ci")) for key in keys),
                )
                for row in shown
            ),
        )


def _describe_abstention(rows: Sequence[Measurement], abstain: AbstentionRange | None) -> Iterable[str]:
    """What the limits cost and gain: the share with a number, and of all films and of these the share that is wrong."""
    if abstain is None:
        return
    yield "## Films of which it is not sure"
    yield card_notes.HOW_ABSTAINED.format(
        error=abstain.error,
        low=abstain.low,
        high=abstain.high,
        films=abstain.films,
        given=rate(abstain.given, abstain.given_ci),
        wrong=rate(abstain.wrong, abstain.wrong_ci),
    )
    yield _table(
        ("runtime", "precision", "films", "n", "a number", "wrong of all", "wrong of those with a number"),
        (
            (
                row.runtime,
                row.precision,
                row.split,
                str(row.n),
                rate(row.passed, row.passed_ci),
                rate(row.wrong, row.wrong_ci),
                rate(row.wrong_passed, row.wrong_passed_ci),
            )
            for row in rows
            if row.passed is not None
        ),
    )


def _reference(agreement: ReferenceAgreement | None) -> Iterable[str]:
    """What the network's own script reaches at home, and the network on the box's input."""
    if agreement is not None:
        yield "## The network's own script"
        yield from reference_section.words(agreement)


def _statistics(rows: Sequence[Measurement]) -> Iterable[str]:
    """Further measures: the other findings, all findings together, grades, a number."""
    shown = [(row, statistic) for row in rows for statistic in row.statistics]
    if shown:
        yield "## Every finding, and all together"
        yield card_notes.HOW_STATISTICS
        yield _table(
            ("runtime", "precision", "films", "number", "of", "value"),
            (
                (row.runtime, row.precision, row.split, one.name, one.of or "all", rate(one.value, one.interval))
                for row, one in shown
            ),
        )


def _describe_steps(steps: Mapping[str, str]) -> Iterable[str]:
    if len(set(steps.values())) > 1:
        yield card_notes.HOW_MADE
        yield _table(
            ("step", "code"), ((step, f"`{word[:12]}`" if word else "not noted") for step, word in steps.items())
        )


def _maps(maps: Sequence[Mapping[str, Any]], pointing: Mapping[str, Any] | None) -> Iterable[str]:
    if not maps:
        return
    yield "## The map"
    yield card_notes.HOW_MAPPED
    yield _table(
        ("runtime", "precision", "films", "every cell: mean", "median", "5th percentile", "least", "evidence: mean"),
        (
            (
                mapping["runtime"],
                mapping["precision"],
                str(mapping["n"]),
                *(f"{mapping[key]:.3f}" for key in ("mean", "median", "low", "least")),
                "–" if mapping["evidence"] is None else f"{mapping['evidence']:.3f} ({mapping['evidence_n']} films)",
            )
            for mapping in maps
        ),
    )
    if pointing is not None:
        yield (
            f"Pointing game (Zhang et al. 2018): on {pointing['hits']} of {pointing['n']} positive films with an "
            f"outline, {rate(pointing['share'], pointing['share_ci'])}, the middle of the map's strongest cell lies "
            f"in the outline; a cell taken blindly would on {pointing['chance']:.3f}. Asked of FP32 networks that had "
            "not seen the film."
        )


def _gates(gates: Sequence[Mapping[str, Any]], refused: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if gates:
        yield "## Gates"
        yield card_notes.HOW_GATED
        yield _table(
            ("runtime", "precision", "verdict", "measured"),
            ((gate["runtime"], gate["precision"], gate["outcome"], gate["said"]) for gate in gates),
        )
    if refused:
        yield "## Refused"
        yield "Files that were asked for and are not in this pack:"
        yield "\n".join(f"* {mapping['runtime']} {mapping['precision']}: {mapping['why']}" for mapping in refused)


def _outlines(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    shown = [row for row in rows if row.get("lesion_sensitivity") is not None]
    if shown:
        yield "## Outlines" if any(row.get("dice") is not None for row in shown) else "## Boxes"
        yield card_notes.HOW_OUTLINED
        yield _table(
            (
                "runtime",
                "precision",
                "films",
                "Dice",
                "lesions found",
                "false marks a film",
                "no lesion: no mark",
                "Dice of the organ",
            ),
            (
                (
                    row["runtime"],
                    row["precision"],
                    row["split"],
                    rate(row.get("dice"), row.get("dice_ci")),
                    rate(row["lesion_sensitivity"], row.get("lesion_sensitivity_ci")),
                    f"{row['false_positives_per_image']:.2f}",
                    rate(row.get("without_mark"), row.get("without_mark_ci")),
                    rate(row.get("organ_dice"), row.get("organ_dice_ci")),
                )
                for row in shown
            ),
        )


def _calibration(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    shown = [row for row in rows if any(row.get(key) is not None for key in CALIBRATION)]
    if shown:
        yield "## Calibration and fixed specificity"
        yield card_notes.HOW_CALIBRATED
        yield _table(
            ("runtime", "precision", "films", "ECE", "Brier", "sensitivity at 0.90", "sensitivity at 0.95"),
            (
                (
                    row["runtime"],
                    row["precision"],
                    row["split"],
                    *(rate(row.get(key), row.get(f"{key}_ci")) for key in CALIBRATION),
                )
                for row in shown
            ),
        )


def _route(route: Route) -> str:
    ages = route.age_years
    ends = [f"from {ages.min}" if ages.min is not None else "", f"to {ages.max}" if ages.max is not None else ""]
    said = " ".join(end for end in ends if end) or "of any number of"
    views = f"view {', '.join(route.views)}, " if route.views else ""
    return (
        f"It is asked only for {' or '.join(route.modalities)} images of the {', '.join(route.body_parts)}, "
        f"{views}age {said} completed years ({route.population} by default)."
    )


def _least_size(care: QualityPolicy) -> str:
    """Nothing for a pack that asks for none."""
    return "" if care.least_px is None else card_notes.LEAST_SIZE.format(px=care.least_px)


def _decision(manifest: Manifest) -> str:
    finding, task = manifest.findings[0], tasks.get(manifest.task)
    words = (
        f"`{finding.code}` ({finding.label.en}, {finding.label.zh}), priority {finding.priority}. "
        f"{task.decision(manifest.section)} Prevalence in training: "
        f"{manifest.training_prevalence:.0%}; where the disease is rarer, a given probability overstates it. "
        f"{task.picture(manifest.section)}"
    )
    return words.rstrip()


def _measure(row: Measurement) -> tuple[str, ...]:
    return (
        row.runtime,
        row.precision,
        row.split,
        f"{row.n} ({row.positives})",
        rate(row.auc, row.auc_ci),
        rate(row.sensitivity, row.sensitivity_ci),
        rate(row.specificity, row.specificity_ci),
    )


def _undrawn(manifest: Manifest, finding: FindingPart) -> Iterable[str]:
    """A line for each class, positive or negative, without a synthetic golden film."""
    if manifest.input.depth is not None:
        return
    asked = tasks.get(manifest.task).golden_probability
    samples = [
        asked(golden_case.expected.get("fp32"), finding.code)
        for golden_case in manifest.golden
        if golden_case.kind == "sample"
    ]
    answers = {answer >= finding.threshold for answer in samples if answer is not None}
    for answer, word in ((True, "positive"), (False, "negative")):
        if answer not in answers:
            yield card_notes.NONE_DRAWN.format(answer=word)


def _golden(golden: GoldenCase, manifest: Manifest) -> tuple[str, ...]:
    name = golden.path or (f"{golden.reference.package}: {golden.reference.file}" if golden.reference else "")
    code, asked = manifest.findings[0].code, tasks.get(manifest.task).golden_probability
    answers = [asked(golden.expected.get(precision), code) for precision in ("fp32", "int8")]
    tolerance = " / ".join(f"{golden.tolerance[precision]:g}" for precision in golden.tolerance)
    shown = [f"{answer:.3f}" if answer is not None else "–" for answer in answers]
    return (f"`{name}`", golden.kind, *shown, tolerance, f"{golden.distance.nearest:.2f}" if golden.distance else "–")


def _or_dash(value: int | None) -> str:
    return str(value) if value else "–"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)
