"""The card of a pack, for people: weak points first, then the numbers, then how it was made. From the manifest only.

Gates, refusals and calibration are told where the manifest holds them: ``gates`` [{runtime, precision, outcome, said}],
``refused`` [{runtime, precision, why}], and in ``measured`` the keys of :data:`CALIBRATION`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from converters import card_notes
from firmware_app.packs.manifest import FindingSpec, Manifest
from firmware_app.packs.proof import Golden, Measured
from firmware_app.packs.scope import Route

NAME = "CARD.md"
UNSEEN = "unseen"
"""How the row of a network is called that had not seen a source: ``unseen[view=AP]``."""

WANTED_AGREEMENT = 0.9
LITTLE_POINTING = 0.5
_PLATT = "Platt, fitted on validation films"
CALIBRATION = ("ece", "brier", "sensitivity_at_90", "sensitivity_at_95")
"""Keys of a measured row beside the contract's, each with its interval under ``…_ci``."""


def write(folder: Path) -> Path:
    """Write ``CARD.md`` beside the manifest of ``folder``."""
    path = folder / NAME
    path.write_text(text(Manifest.load(folder)), encoding="utf-8")
    return path


def text(manifest: Manifest) -> str:
    """The card as Markdown."""
    finding = manifest.findings[0]
    told = manifest.model_dump(mode="json")
    elsewhere = any(" OUT/" in row.command for row in manifest.measured)
    parts = [
        f"# {manifest.title.en} · {manifest.title.zh}",
        f"`{manifest.name}` {manifest.version}. {card_notes.NOT_DIAGNOSTIC}",
        "## Weak points",
        *(f"- {point.en}\n  {point.zh}" for point in manifest.weak_points),
        *_unproven(told.get("gates") or ()),
        *_doubtful(told.get("maps") or (), told.get("pointing")),
        *_strange(manifest.measured),
        "## Not for",
        f"{manifest.not_for.en}\n\n{manifest.not_for.zh}",
        "## Intended use",
        f"{manifest.intended_use.en}\n\n{manifest.intended_use.zh}",
        _route(manifest.route),
        "## Numbers",
        card_notes.HOW_MEASURED,
        *_looks(manifest),
        *([card_notes.HOW_UNSEEN] if any(row.split.startswith(f"{UNSEEN}[") for row in manifest.measured) else []),
        _table(
            ("runtime", "precision", "films", "n (positive)", "AUC", "sensitivity", "specificity"),
            (_measured(row) for row in manifest.measured),
        ),
        card_notes.HOW_PRINTED_ELSEWHERE if elsewhere else card_notes.HOW_PRINTED,
        "```\n" + "\n".join(dict.fromkeys(row.command for row in manifest.measured)) + "\n```",
        *_passed(told["measured"]),
        *_gates(told.get("gates") or (), told.get("refused") or ()),
        *_outlines(told["measured"]),
        *_calibration(told["measured"]),
        *_maps(told.get("maps") or (), told.get("pointing")),
        "## The decision",
        _decision(manifest, finding),
        "## Data",
        _table(
            ("data set", "use", "films", "patients", "licence", "citation"),
            ((one.name, one.use, _or_dash(one.n_images), _or_dash(one.n_patients), one.licence, one.citation)
             for one in manifest.data),
        ),
        "## Files",
        _table(
            ("file", "runtime", "precision", "opset", "bytes", "sha256"),
            ((f"`{one.path}`", one.runtime, one.precision, str(one.opset or "–"), f"{one.bytes:,}",
              f"`{one.sha256[:16]}…`") for one in manifest.artefacts),
        ),
        *_shared(one.runtime for one in manifest.artefacts),
        *_made(manifest.made_by),
        "## Golden cases",
        card_notes.WHAT_GOLDEN,
        _table(
            ("image", "kind", "fp32", "int8", "tolerance fp32 / int8", "distance"),
            (_golden(one, finding.code) for one in manifest.golden),
        ),
    ]  # fmt: skip
    return "\n\n".join(parts).replace("\n\n- ", "\n- ").replace("points\n- ", "points\n\n- ") + "\n"


def _shared(runtimes: Iterable[str]) -> Iterable[str]:
    if set(runtimes) == {"onnxruntime"}:
        yield "OpenVINO reads the same files."


def _looks(manifest: Manifest) -> Iterable[str]:
    part = manifest.test_part
    if part is not None:
        times = "once" if part.looks == 1 else f"{part.looks} times"
        yield card_notes.HOW_OFTEN.format(films=part.films, digest=part.sha256[:16], times=times)


def _passed(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    shown = [row for row in rows if row.get("passed") is not None or row.get("unfit")]
    if shown:
        yield "## Films that get a number"
        yield card_notes.HOW_PASSED
        keys = ("passed", "auc_passed", "sensitivity_passed", "specificity_passed")
        yield _table(
            ("runtime", "precision", "films", "unfit", "familiar", "AUC", "sensitivity", "specificity"),
            (
                (row["runtime"], row["precision"], row["split"], str(row.get("unfit", 0)),
                 *(_rate(row.get(key), row.get(f"{key}_ci")) for key in keys))
                for row in shown
            ),
        )  # fmt: skip


def _made(steps: Mapping[str, str]) -> Iterable[str]:
    if len(set(steps.values())) > 1:
        yield card_notes.HOW_MADE
        yield _table(
            ("step", "code"), ((step, f"`{word[:12]}`" if word else "not noted") for step, word in steps.items())
        )


def _unproven(gates: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    count = sum(one["outcome"] == "inconclusive" for one in gates)
    if count:
        yield (
            f"- {count} of {len(gates)} files passed their gates without proof: the films are too few to exclude "
            "a larger loss.\n"
            f"  {len(gates)} 个文件中有 {count} 个虽通过检验但证据不足：影像太少，不能排除更大的损失。"
        )


def _doubtful(maps: Sequence[Mapping[str, Any]], pointing: Mapping[str, Any] | None) -> Iterable[str]:
    for one in maps:
        found = min(one["mean"], one["mean"] if one["evidence"] is None else one["evidence"])
        if found < WANTED_AGREEMENT:
            yield (
                f"- The map of {one['runtime']} {one['precision']} agrees with that of the original by a rank "
                f"correlation of only {found:.2f} ({WANTED_AGREEMENT:g} is wanted): it may show other places.\n"
                f"  {one['runtime']} {one['precision']} 的热力图与原模型的秩相关仅为 {found:.2f}（要求 "
                f"{WANTED_AGREEMENT:g}）：可能指向不同部位。"
            )
    if pointing is not None and pointing["share"] < LITTLE_POINTING:
        yield (
            f"- The strongest place of the map lies in the outlined lesion on only {pointing['hits']} of "
            f"{pointing['n']} positive films.\n"
            f"  {pointing['n']} 张阳性影像中仅有 {pointing['hits']} 张的热力图最强处落在病灶轮廓内。"
        )


def _strange(rows: Iterable[Measured]) -> Iterable[str]:
    """The source on which a network that never saw it was worst."""
    left_out = [(row.auc, row) for row in rows if row.split.startswith(f"{UNSEEN}[") and row.auc is not None]
    if left_out:
        area, row = min(left_out, key=lambda pair: pair[0])
        source, told = row.split.removeprefix(UNSEEN), _rate(area, row.auc_ci)
        english, chinese = "a network like it", "同类网络"
        if "teacher" in row.runtime:
            english, chinese = "its teacher", "其教师网络"
        yield (
            f"- Fitted without the source `{source}`, {english} reached an AUC of {told} on the {row.n} films of it.\n"
            f"  在训练中留出来源 `{source}` 后，{chinese}在该来源 {row.n} 张影像上的 AUC 为 {told}。"
        )


def _maps(maps: Sequence[Mapping[str, Any]], pointing: Mapping[str, Any] | None) -> Iterable[str]:
    if not maps:
        return
    yield "## The map"
    yield card_notes.HOW_MAPPED
    yield _table(
        ("runtime", "precision", "films", "every cell: mean", "median", "5th percentile", "least", "evidence: mean"),
        (
            (one["runtime"], one["precision"], str(one["n"]),
             *(f"{one[key]:.3f}" for key in ("mean", "median", "low", "least")),
             "–" if one["evidence"] is None else f"{one['evidence']:.3f} ({one['evidence_n']} films)")
            for one in maps
        ),
    )  # fmt: skip
    if pointing is not None:
        yield (
            f"Pointing game (Zhang et al. 2018): on {pointing['hits']} of {pointing['n']} positive films with an "
            f"outline, {_rate(pointing['share'], pointing['share_ci'])}, the middle of the map's strongest cell lies "
            f"in the outline; a cell taken blindly would on {pointing['chance']:.3f}. Asked of FP32 networks that had "
            "not seen the film."
        )


def _gates(gates: Sequence[Mapping[str, Any]], refused: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if gates:
        yield "## Gates"
        yield card_notes.HOW_GATED
        yield _table(
            ("runtime", "precision", "verdict", "measured"),
            ((one["runtime"], one["precision"], one["outcome"], one["said"]) for one in gates),
        )
    if refused:
        yield "## Refused"
        yield "Files that were asked for and are not in this pack:"
        yield "\n".join(f"* {one['runtime']} {one['precision']}: {one['why']}" for one in refused)


def _outlines(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    shown = [row for row in rows if row.get("dice") is not None]
    if shown:
        yield "## Outlines"
        yield card_notes.HOW_OUTLINED
        yield _table(
            ("runtime", "precision", "films", "Dice", "lesions found", "false marks a film"),
            (
                (row["runtime"], row["precision"], row["split"], _rate(row["dice"], row.get("dice_ci")),
                 _rate(row["lesion_sensitivity"], row.get("lesion_sensitivity_ci")),
                 f"{row['false_positives_per_image']:.2f}")
                for row in shown
            ),
        )  # fmt: skip


def _calibration(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    shown = [row for row in rows if any(row.get(key) is not None for key in CALIBRATION)]
    if shown:
        yield "## Calibration and fixed specificity"
        yield card_notes.HOW_CALIBRATED
        yield _table(
            ("runtime", "precision", "films", "ECE", "Brier", "sensitivity at 0.90", "sensitivity at 0.95"),
            (
                (row["runtime"], row["precision"], row["split"], *(_rate(row.get(key), row.get(f"{key}_ci"))
                 for key in CALIBRATION))
                for row in shown
            ),
        )  # fmt: skip


def _route(route: Route) -> str:
    ages = route.age_years
    ends = [f"from {ages.min}" if ages.min is not None else "", f"to {ages.max}" if ages.max is not None else ""]
    said = " ".join(end for end in ends if end) or "of any number of"
    views = f"view {', '.join(route.views)}, " if route.views else ""
    return (
        f"It is asked only for {' or '.join(route.modalities)} images of the {', '.join(route.body_parts)}, "
        f"{views}age {said} completed years ({route.population} by default)."
    )


def _decision(manifest: Manifest, finding: FindingSpec) -> str:
    outlines = manifest.task == "segment"
    pooled, fitted = ("max", "the network's own, of its strongest cell") if outlines else ("mean", _PLATT)
    return (
        f"`{finding.code}` ({finding.label.en}, {finding.label.zh}), priority {finding.priority}. "
        f"logit = {pooled}(map) + {finding.bias:.6f}; probability = sigmoid({finding.calibration.slope:g} · logit "
        f"{finding.calibration.intercept:+g}) ({fitted}); positive from "
        f"**{finding.threshold:g}**: {finding.threshold_rule}. Prevalence in training: "
        f"{manifest.training_prevalence:.0%}; where the disease is rarer, a given probability overstates it. "
        f"The heat map is drawn at full strength from {manifest.output.full_scale:g} logits a cell."
    )


def _measured(row: Measured) -> tuple[str, ...]:
    return (
        row.runtime, row.precision, row.split, f"{row.n} ({row.positives})", _rate(row.auc, row.auc_ci),
        _rate(row.sensitivity, row.sensitivity_ci), _rate(row.specificity, row.specificity_ci),
    )  # fmt: skip


def _golden(golden: Golden, code: str) -> tuple[str, ...]:
    name = golden.path or (f"{golden.reference.package}: {golden.reference.file}" if golden.reference else "")
    answers = [answer.get(code) for answer in (golden.expected.get("fp32", {}), golden.expected.get("int8", {}))]
    tolerance = " / ".join(f"{golden.tolerance[precision]:g}" for precision in golden.tolerance)
    shown = [f"{answer:.3f}" if answer is not None else "–" for answer in answers]
    return (f"`{name}`", golden.kind, *shown, tolerance, f"{golden.distance.nearest:.2f}" if golden.distance else "–")


def _rate(value: float | None, interval: Sequence[float] | None) -> str:
    return "–" if value is None or interval is None else f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"


def _or_dash(value: int | None) -> str:
    return str(value) if value else "–"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)
