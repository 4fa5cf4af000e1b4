"""The report's figures, each from numbers that are there; a figure without numbers is an empty string."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np

from converters.data.predictions import Predictions
from converters.evaluation.metrics import Evaluation
from converters.report.catalogue import pair
from converters.report.plot import COLOURS, INK, OURS, PALE, PEER, Plot, bars, heat
from converters.report.step_results import Accounts
from converters.statistics import intervals

Key = tuple[str, str]
"""Runtime and precision."""
LARGEST_DISC = 17.0
MEGABYTE = 1e6
LABEL_STEPS = (4.0, -12.0, 20.0)
"""Labels of neighbouring discs stand at different heights: files of like speed are often of like accuracy too."""


def trade(rows: Mapping[Key, Evaluation], accounts: Accounts) -> str:
    """Latency against AUC; the area of a disc is the size of the file."""
    shown = [(one, rows[one.runtime, one.precision]) for one in accounts.timed if (one.runtime, one.precision) in rows]
    judged = [(timed, row.auc, row.auc_ci) for timed, row in shown if row.auc is not None and row.auc_ci is not None]
    if not judged:
        return ""
    low = min(ci[0] for _, _, ci in judged if ci)
    high = max(ci[1] for _, _, ci in judged if ci)
    room = max((high - low) * 0.15, 0.002)
    slowest, quickest = max(one.milliseconds for one, _, _ in judged), min(one.milliseconds for one, _, _ in judged)
    plot = Plot(
        (quickest * 0.6, slowest * 2.2),
        (low - room, min(1.0, high + room)),
        pair("ms_axis"),
        pair("auc"),
        width=940,
        height=380,
        logarithmic=True,
    )
    colours = dict(zip(sorted({one.runtime for one, _, _ in judged} - {"pytorch"}), cycle(COLOURS)))
    largest = max(one.bytes for one, _, _ in judged) or 1
    for number, (one, area, ci) in enumerate(sorted(judged, key=lambda shown: shown[0].milliseconds)):
        colour = colours.get(one.runtime, PEER)
        radius = max(4.0, LARGEST_DISC * float(np.sqrt(one.bytes / largest)))
        plot.disc((one.milliseconds, area), radius, colour, 0.85)
        size = f" · {one.bytes / MEGABYTE:.1f} MB" if one.bytes else ""
        said = f"{one.precision}{size}"
        plot.upright(one.milliseconds, ci[0], ci[1], INK)
        plot.note((one.milliseconds, area), (said, said), radius + 5, LABEL_STEPS[number % len(LABEL_STEPS)])
    runtimes = dict.fromkeys(one.runtime for one, _, _ in judged)
    plot.legend([((name, name), colours.get(name, PEER)) for name in runtimes])
    return plot.svg(pair("trade"))


def roc(main: Predictions, row: Evaluation, original: Predictions | None) -> str:
    """The curve of the chosen file over that of the original, and the frozen threshold."""
    if row.auc is None:
        return ""
    plot = Plot((0.0, 1.0), (0.0, 1.0), pair("false_positive_rate"), pair("sensitivity"))
    plot.line([(0.0, 0.0), (1.0, 1.0)], PALE, dash="3 4", thick=1.0)
    entries = [(_with(row.precision.upper(), row.runtime, row.auc), OURS)]
    if original is not None:
        across, up = intervals.roc(original.labels, original.logits)
        plot.line(zip(across.tolist(), up.tolist(), strict=True), PEER, thick=1.6)
        area = intervals.auc(original.labels, original.logits) or 0.0
        english, chinese = pair("original")
        entries.append(((f"{english}, {area:.3f}", f"{chinese}，{area:.3f}"), PEER))
    across, up = intervals.roc(main.labels, main.logits)
    plot.line(zip(across.tolist(), up.tolist(), strict=True), OURS)
    if row.sensitivity is not None and row.specificity is not None and row.sensitivity_ci and row.specificity_ci:
        at = (1.0 - row.specificity, row.sensitivity)
        plot.upright(at[0], *row.sensitivity_ci, INK)
        plot.level(at[1], 1.0 - row.specificity_ci[1], 1.0 - row.specificity_ci[0], INK)
        plot.disc(at, 4.0, INK)
    plot.legend(entries)
    return plot.svg(pair("roc"))


def reliability(row: Evaluation) -> str:
    """What was said of each bin and what was seen, with Wilson's interval."""
    if not row.reliability:
        return ""
    plot = Plot((0.0, 1.0), (0.0, 1.0), pair("said"), pair("seen"))
    plot.line([(0.0, 0.0), (1.0, 1.0)], PALE, dash="3 4", thick=1.0)
    for one in row.reliability:
        if one.seen.interval is not None:
            plot.upright(one.said, *one.seen.interval, OURS)
    plot.line([(one.said, one.seen.value or 0.0) for one in row.reliability], OURS, thick=1.2)
    for one in row.reliability:
        plot.disc((one.said, one.seen.value or 0.0), 4.5, OURS)
    return plot.svg(pair("reliability"))


def decision(row: Evaluation) -> str:
    """Net benefit of the model, with its interval, of treating all and of treating none."""
    curve = row.decision_curve
    if curve is None or not row.positives:
        return ""
    top = max(*curve.high, curve.treat_all[0]) * 1.08
    plot = Plot((0.0, curve.thresholds[-1]), (-0.3 * top, top), pair("threshold"), pair("net_benefit"))
    plot.band(curve.thresholds, curve.low, curve.high, OURS)
    plot.line([(0.0, 0.0), (curve.thresholds[-1], 0.0)], INK, thick=1.2)
    everybody = zip(curve.thresholds, curve.treat_all, strict=True)
    plot.line([point for point in everybody if point[1] >= -0.3 * top], PEER, thick=1.6)
    plot.line(zip(curve.thresholds, curve.model, strict=True), OURS)
    if row.threshold <= curve.thresholds[-1]:
        plot.line([(row.threshold, -0.3 * top), (row.threshold, top)], PALE, dash="3 4", thick=1.0)
    plot.legend([(pair("the_model"), OURS), (pair("treat_all"), PEER), (pair("treat_none"), INK)])
    return plot.svg(pair("decision"))


def pruning(accounts: Accounts) -> str:
    """Output channels of every layer before and after."""
    if accounts.pruning is None or not accounts.pruning.layers:
        return ""
    rows = [(name, float(after), float(before)) for name, before, after in accounts.pruning.layers]
    return bars(rows, pair("channels"), pair("pruning"))


def explained(accounts: Accounts) -> Sequence[str]:
    """Each example film, plain and under each of its maps."""
    return [
        heat(one["film"], one.get(name) if name != "film" else None, pair(name))
        for one in accounts.examples
        for name in ("film", "gradcam", "map", "occlusion", "lime")
        if name in one
    ]


def _with(precision: str, runtime: str, area: float) -> tuple[str, str]:
    return f"{precision}, {runtime}, {area:.3f}", f"{precision}，{runtime}，{area:.3f}"
