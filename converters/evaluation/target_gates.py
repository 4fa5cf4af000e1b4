"""The gates of a pack with other targets than one finding: what a smaller file may lose of each.

Beside AUC and sensitivity of the first finding, which every pack is judged by (:mod:`converters.evaluation.gates`):
both for every other finding, at its own frozen threshold; the quadratic kappa of grades may fall by ``kappa_loss``; the
mean absolute error of a number may grow by the share ``error_growth`` of itself.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.evaluation import gates
from converters.evaluation.baseline import Baseline
from converters.evaluation.gates import GateResult, verdict_of
from converters.evaluation.threshold import odds
from converters.statistics import intervals
from converters.statistics.agreement import quadratic_kappa
from converters.tasks.kinds import Grades, Kind


def judge(kind: Kind, baseline: Baseline, answers: NDArray[Any]) -> list[GateResult]:
    """Another file's ``answers`` (N, C) beside the original's."""
    assert baseline.truth is not None
    made = []
    shows, before, after = kind.shows(baseline.truth), kind.logits(baseline.answers), kind.logits(answers)
    for k in range(1, kind.findings):
        point, labels = baseline.point["findings"][k], shows[:, k]
        cut = (odds(point["threshold"]) - point["intercept"]) / point["slope"]
        one = replace(baseline.original, labels=labels, logits=before[:, k])
        for verdict in gates.judge(one, replace(one, logits=after[:, k]), cut, baseline.gate):
            said = f"{kind.names[k]}: {verdict.said}"
            made.append(replace(verdict, gate=f"{verdict.gate} of {kind.names[k]}", said=said))
    if isinstance(kind, Grades):
        made.append(_kappa(kind, baseline, answers))
    if kind.name == "number":
        made.append(_error(baseline, before[:, 0], after[:, 0]))
    return made


def _kappa(kind: Grades, baseline: Baseline, answers: NDArray[Any]) -> GateResult:
    assert baseline.truth is not None
    truth = baseline.truth[:, 0].astype(np.int64)
    before, after = ((array > 0.0).sum(axis=1) for array in (baseline.answers, answers))
    grades = kind.channels + 1

    def change(weights: NDArray[np.int64] | None) -> float | None:
        first, second = (quadratic_kappa(truth, given, grades, weights) for given in (before, after))
        return None if first is None or second is None else second - first

    value, margin = change(None), -baseline.gate.kappa_loss
    resamples = intervals.resamples(baseline.original.labels, baseline.original.patients)
    drawn = intervals.limits(change(resample) for resample in resamples)
    change_of, low, high = (float("nan"),) * 3 if value is None or drawn is None else (value, *drawn)
    said = f"kappa of the grades changes by {change_of:+.4f} ({low:+.4f} to {high:+.4f}), allowed {margin:+g}"
    return verdict_of("kappa", change_of, low, margin, said)


def _error(baseline: Baseline, before: NDArray[np.float64], after: NDArray[np.float64]) -> GateResult:
    assert baseline.truth is not None
    offset, scale = baseline.point["scale"]
    first, second = (np.abs(offset + scale * array - baseline.truth[:, 0]) for array in (before, after))
    mean = max(float(first.mean()), 1e-12)
    low, high = intervals.mean_interval(second - first, baseline.original.patients)
    value, margin = float((second - first).mean()) / mean, baseline.gate.error_growth
    said = (
        f"mean absolute error {mean:.4g} grows by {100 * value:+.1f} % ({100 * low / mean:+.1f} to "
        f"{100 * high / mean:+.1f}), allowed {100 * margin:+g}"
    )
    return verdict_of("error", -value, -high / mean, -margin, said)
