"""Features that do not tell where a film came from: optional terms of training, by a trait of the films.

``coral`` (Sun & Saenko 2016): the features of each source have the same mean and covariance.  ``adversarial`` (Ganin &
Lempitsky 2015): a small judge guesses the source, and the gradient that would help it is turned round.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from converters.data.datasets import FilmSet
from converters.nets import CamNet
from converters.recipe_tables import Train
from firmware_app.imaging.model_input import InputSpec

HIDDEN = 64


class _GradientReversal(torch.autograd.Function):  # type: ignore[misc]
    """The identity, with the gradient's sign changed."""

    @staticmethod
    def forward(_context: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return -gradient


class Alignment(nn.Module):  # type: ignore[misc]
    """The extra loss (B,) of features (B, F) of films whose sources are ``sources[index]``."""

    def __init__(self, kind: str, sources: Sequence[str], width: int) -> None:
        super().__init__()
        names = sorted(set(sources))
        self.kind = kind
        self.source = torch.tensor([names.index(source) for source in sources])
        self.judge = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(names)))

    def forward(self, features: Tensor, index: NDArray[np.int64]) -> Tensor:
        """(B,) losses; zero where a batch holds one source only."""
        source = self.source[torch.from_numpy(index)].to(features.device)
        if self.kind == "adversarial":
            guess = self.judge(_GradientReversal.apply(features))
            return functional.cross_entropy(guess, source, reduction="none")
        return coral(features, source).expand(len(features))


def plan_alignment(plan: Train, films: FilmSet, net: CamNet, spec: InputSpec) -> Alignment | None:
    """The term that a recipe asks for; ``None`` without one."""
    if plan.alignment == "none":
        return None
    sources = [dict(film.traits).get(plan.alignment_trait, "") for film in films.films]
    with torch.no_grad():
        width = net.copy().eval()(torch.zeros(1, spec.channels, spec.height, spec.width))[1].shape[1]
    return Alignment(plan.alignment, sources, width)


def coral(features: Tensor, source: Tensor) -> Tensor:
    """The mean squared distance between each source's feature mean and covariance and the batch's."""
    total = features.new_zeros(())
    mean, covariance = features.mean(dim=0), features.T.cov()
    for one in source.unique():
        members = features[source == one]
        if len(members) < 4:
            continue
        total = total + (members.mean(dim=0) - mean).square().mean()
        total = total + (members.T.cov() - covariance).square().mean()
    return total
