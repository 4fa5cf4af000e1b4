"""A small network learns from a large one, or from several: their opinions, and what they look at.

Hinton, Vinyals & Dean 2015: the student's logit is brought to those of its teachers at a temperature, beside the label;
where there are several teachers, batch by batch in turn. Romero et al. 2015 (hints): its features, through a linear map
thrown away afterwards, are brought to theirs. A teacher sees the very same changed film as its student. Films without a
label, or with that of another head, are judged by the teachers alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from converters.nets import CamNet
from converters.recipe_tables import Distill, Train
from converters.training import teacher_inference
from converters.training.targets import Targets
from converters.training.teacher_inference import Opinion
from converters.training.train import cross_entropy
from converters.workflow.device import in_sixteen_bits


@dataclass(frozen=True, slots=True)
class DistillationLoss:
    """The objective of distillation. ``labelled`` (N,) says which of the seen films' labels count; ``beside`` are the
    linear maps, one a teacher, that the student's features go through to be compared with the teacher's."""

    teachers: Sequence[Opinion]
    biases: Sequence[float]
    targets: Targets
    labelled: NDArray[np.bool_]
    plan: Distill
    smoothing: Train
    beside: nn.ModuleList
    changes_films: bool = False

    def __call__(self, net: CamNet, films: Tensor, index: NDArray[np.int64]) -> Tensor:
        """See :class:`converters.training.fitting.Objective`."""
        # One teacher a batch, drawn by its films: over the epochs that is their ensemble, at the price of one.
        turn = int(index.sum()) % len(self.teachers)
        wanted_maps, wanted = self.teachers[turn](films)
        soft = wanted_maps[:, 0].flatten(1).mean(dim=1) + self.biases[turn]
        with in_sixteen_bits():
            maps, features = net(films)
        logits = maps.float().flatten(2).mean(dim=2) + net.bias
        heat = self.plan.temperature
        theirs = functional.binary_cross_entropy_with_logits(
            logits[:, 0] / heat, torch.sigmoid(soft / heat), reduction="none"
        )
        has_label = torch.from_numpy(self.labelled[index]).float().to(films.device)
        own = cross_entropy(logits, self.targets, index, self.smoothing) * has_label
        share = self.plan.label_weight * has_label
        # Gradients through a sigmoid at temperature T shrink by T squared; the factor keeps both terms in step.
        losses = share * own + (1.0 - share) * heat * heat * theirs
        if self.plan.hint_weight > 0.0:
            away = 1.0 - functional.cosine_similarity(self.beside[turn](features.float()), wanted, dim=1)
            losses = losses + self.plan.hint_weight * away
        return losses


def teach(
    student: CamNet,
    teachers: Sequence[CamNet],
    targets: Targets,
    labelled: NDArray[np.bool_],
    plan: Distill,
    smoothing: Train,
    example: Tensor,
) -> DistillationLoss:
    """The objective, with a hint of the right width; teachers are frozen. ``example``: (n, 1, H, W)."""
    opinions = [teacher_inference.prepare_teacher(teacher, example) for teacher in teachers]
    with torch.no_grad():
        theirs = [ask(example)[1].shape[1] for ask in opinions]
        own = student.copy().eval()(example)[1].shape[1]
    hints = nn.ModuleList(nn.Linear(own, width) for width in theirs)
    biases = [float(teacher.bias[0]) for teacher in teachers]
    return DistillationLoss(
        teachers=opinions,
        biases=biases,
        targets=targets,
        labelled=labelled,
        plan=plan,
        smoothing=smoothing,
        beside=hints,
    )
