"""Weak points of a pack, one list for its card and its report: first those that people wrote, then those from its
numbers.

Everything is read from the manifest, so whoever has the pack can make the list again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from converters.report.catalogue import pair
from converters.report.weak_section import FEW_POSITIVES, LITTLE_SPECIFICITY, MISCALIBRATED
from firmware_app.packs.evidence import UNSEEN, Measurement
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.manifest_types import LocalisedText

WANTED_AGREEMENT = 0.9
LITTLE_POINTING = 0.5


def points(manifest: Manifest) -> list[LocalisedText]:
    """All of them, English and Chinese."""
    fields = manifest.model_dump(mode="json")
    rows = manifest.measured
    measured = (
        *_rates(rows),
        *_few(rows),
        *_group(rows),
        *_strange(rows),
        *_off(rows),
        *_recut(manifest),
        *_unproven(fields.get("gates") or ()),
        *_without_int8(manifest, fields.get("refused") or ()),
        *_doubtful(fields.get("maps") or (), fields.get("pointing")),
    )
    return [*manifest.weak_points, *(LocalisedText(en=english, zh=chinese) for english, chinese in measured)]


def rate(value: float | None, interval: Sequence[float] | None) -> str:
    """A number with its interval, as a table shows it."""
    return "–" if value is None or interval is None else f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"


def _select_whole(rows: Iterable[Measurement]) -> list[Measurement]:
    """Rows of all films of a part; neither groups nor sources that were left out."""
    return [row for row in rows if "[" not in row.split]


def _worst(
    rows: Iterable[Measurement], value: Callable[[Measurement], float | None]
) -> tuple[float, Measurement] | None:
    """The row in which ``value`` is least, of those that have one."""
    known = [(number, row) for row in rows if (number := value(row)) is not None]
    return min(known, key=lambda one: one[0]) if known else None


def _rates(rows: Sequence[Measurement]) -> Iterable[tuple[str, str]]:
    """Missed positives and false positives, each from the row with the lowest rate."""
    if (missing := _worst(_select_whole(rows), lambda row: row.sensitivity)) and missing[0] < 1.0:
        value, row = missing
        missed = row.positives - round(value * row.positives)
        shown = f"{rate(value, row.sensitivity_ci)} [{row.split}]"
        yield pair("weak_sensitivity", missed=missed, positives=row.positives, value=shown)
    if (calling := _worst(_select_whole(rows), lambda row: row.specificity)) and calling[0] < LITTLE_SPECIFICITY:
        value, row = calling
        negatives = row.n - row.positives
        shown = f"{rate(value, row.specificity_ci)} [{row.split}]"
        yield pair("weak_specificity", called=negatives - round(value * negatives), negatives=negatives, value=shown)


def _few(rows: Sequence[Measurement]) -> Iterable[tuple[str, str]]:
    positives = min((row.positives for row in _select_whole(rows) if row.positives), default=0)
    if 0 < positives < FEW_POSITIVES:
        yield pair("weak_few", positives=positives, missed=f"{min(100.0, 300.0 / positives):.1f}")


def _group(rows: Iterable[Measurement]) -> Iterable[tuple[str, str]]:
    """The group with the lowest upper ends of both rates' intervals."""

    def hope(row: Measurement) -> float | None:
        ends = (row.sensitivity_ci, row.specificity_ci)
        return None if None in ends else sum(interval[1] for interval in ends if interval)

    groups = (row for row in rows if "[" in row.split and not row.unseen)
    if worst := _worst(groups, hope):
        row = worst[1]
        trait, _, value = row.split.partition("[")[2].removesuffix("]").partition("=")
        yield pair(
            "weak_group",
            trait=trait,
            value=value,
            n=row.n,
            sensitivity=rate(row.sensitivity, row.sensitivity_ci),
            specificity=rate(row.specificity, row.specificity_ci),
        )


def _strange(rows: Iterable[Measurement]) -> Iterable[tuple[str, str]]:
    """The source on which a network that never saw it was worst."""
    if worst := _worst((row for row in rows if row.unseen), lambda row: row.auc):
        row = worst[1]
        source, shown = row.split.removeprefix(UNSEEN), rate(row.auc, row.auc_ci)
        english, chinese = "a network like it", "同类网络"
        if "teacher" in row.runtime:
            english, chinese = "its teacher", "其教师网络"
        yield (
            f"Fitted without the source `{source}`, {english} reached an AUC of {shown} on the {row.n} films of it.",
            f"在训练中留出来源 `{source}` 后，{chinese}在该来源 {row.n} 张影像上的 AUC 为 {shown}。",
        )


def _off(rows: Iterable[Measurement]) -> Iterable[tuple[str, str]]:
    worst = _worst(_select_whole(rows), lambda row: None if row.ece is None else -row.ece)
    if worst and -worst[0] > MISCALIBRATED:
        yield pair("weak_ece", ece=f"{rate(worst[1].ece, worst[1].ece_ci)} [{worst[1].split}]")


def _recut(manifest: Manifest) -> Iterable[tuple[str, str]]:
    if (recut := manifest.recut) is not None:
        yield pair("weak_recut", was=recut.was, now=manifest.input.crop, films=recut.films, other=recut.other)


def _unproven(gates: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    count = sum(gate["outcome"] == "inconclusive" for gate in gates)
    if count:
        yield (
            (
                f"{count} of {len(gates)} files passed their gates without proof: the films are too few to exclude "
                "a larger loss."
            ),
            f"{len(gates)} 个文件中有 {count} 个虽通过检验但证据不足：影像太少，不能排除更大的损失。",
        )


def _without_int8(manifest: Manifest, refused: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    held = {artefact.runtime for artefact in manifest.artefacts if artefact.precision == "int8"}
    wanted = dict.fromkeys(mapping["runtime"] for mapping in refused if mapping["precision"] == "int8")
    yield from (pair("weak_int8", runtime=runtime) for runtime in wanted if runtime not in held)


def _doubtful(maps: Sequence[Mapping[str, Any]], pointing: Mapping[str, Any] | None) -> Iterable[tuple[str, str]]:
    for mapping in maps:
        file, every, evidence = f"{mapping['runtime']} {mapping['precision']}", mapping["mean"], mapping["evidence"]
        if every < WANTED_AGREEMENT:
            yield (
                (
                    f"The map of {file} agrees with that of the original, cell by cell, by a rank correlation of only "
                    f"{every:.2f} ({WANTED_AGREEMENT:g} is wanted): it may show other places."
                ),
                f"{file} 的热力图与原模型的逐格秩相关仅为 {every:.2f}（要求 {WANTED_AGREEMENT:g}）：可能指向不同部位。",
            )
        elif evidence is not None and evidence < WANTED_AGREEMENT:
            yield (
                (
                    f"In the map of {file} the evidence for the finding alone (Grad-CAM with its ReLU, as the box "
                    f"draws it) agrees with that of the original by a rank correlation of only {evidence:.2f}: weak "
                    f"spots may appear or vanish. Over every cell, the measure that is gated, it reached {every:.2f}."
                ),
                (
                    f"{file} 的热力图仅就支持该发现的证据而言（经 ReLU 的 Grad-CAM，即设备所显示的形式），"
                    f"与原模型的秩相关仅为 {evidence:.2f}：较弱的区域可能出现或消失。按全部格计算（准入检验采用的指标）"
                    f"为 {every:.2f}。"
                ),
            )
    if pointing is not None and pointing["share"] < LITTLE_POINTING:
        yield (
            (
                f"The strongest place of the map lies in the outlined lesion on only {pointing['hits']} of "
                f"{pointing['n']} positive films."
            ),
            f"{pointing['n']} 张阳性影像中仅有 {pointing['hits']} 张的热力图最强处落在病灶轮廓内。",
        )
