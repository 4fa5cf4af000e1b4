"""The numbers of a pack whose films have more than one yes or no: per finding, over all, of grades or measurements."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from converters.evaluation.metrics import probabilities_of, rates_at
from converters.statistics import agreement, intervals
from converters.statistics.agreement import Statistic
from converters.tasks.kinds import Grades, Kind
from firmware_app.packs.tasks.interface import Section


def measure(
    kind: Kind, section: Section, box_scores: NDArray[np.float64], targets: NDArray[np.float64], patients: Sequence[str]
) -> tuple[Statistic, ...]:
    """AUC, sensitivity and specificity of every finding against all other films, the macro AUC, the agreement of grades
    and the mean absolute error of a number; ``box_scores`` (N, K + …) and ``targets`` (N, T) are of the same films."""
    shows, made = kind.shows(targets), list[Statistic]()
    if kind.findings > 1:
        for k, finding in enumerate(section.findings):
            labels, logits = shows[:, k], box_scores[:, k]
            area = intervals.auc(labels, logits)
            made.append(Statistic("auc", finding.code, area, intervals.auc_interval(labels, logits, patients)))
            rates = rates_at(labels, probabilities_of(logits, finding), finding.threshold, patients)
            made += [
                Statistic(name, finding.code, rates[name], rates[f"{name}_ci"])
                for name in ("sensitivity", "specificity")
            ]
        made.append(Statistic("macro_auc", "", *agreement.macro_auc(shows, box_scores[:, : kind.findings], patients)))
    if isinstance(kind, Grades):
        truth, given = targets[:, 0].astype(np.int64), box_scores[:, -1].astype(np.int64)
        made.append(Statistic("kappa", "", *agreement.kappa(truth, given, kind.channels + 1, patients)))
    if kind.name == "number":
        measure = section.findings[0].measure
        given_number = measure.offset + measure.scale * box_scores[:, 0]
        value, interval = agreement.mean_absolute_error(targets[:, 0], given_number, patients)
        made.append(Statistic("mae", "", value, interval))
    return tuple(made)
