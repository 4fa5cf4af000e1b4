"""Train a network on films with labels: the teacher, or a pack's only network.

Cross-entropy weighed by what a mistake costs: with a missed lesion worth ``miss`` false alarms, a positive film weighs
``miss`` times a negative one, at the clinic's prevalence (Elkan 2001); the calibrated threshold is ``1 / (1 + miss)``.
Channel 0 is the finding. Each set with ``own_head`` has a further channel: its films teach that one alone, so they
shape the features and not the finding's label. It is thrown away (:func:`restored`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from converters.failures import RecipeInvalid
from converters.nets import CamNet, build
from converters.nets.lite import Lite, imagenet_weights, load_imagenet
from converters.nets.pyramid import Pyramid
from converters.recipe import Recipe
from converters.recipe_tables import Distill, Train
from converters.training import checkpoint
from converters.training.domain_alignment import Alignment
from converters.training.targets import Targets
from converters.workflow.device import in_sixteen_bits

OTHER_PACK = "pack:"
PRETRAINED = "pretrained:"
SHIPPED = ("pruned.whole.pt", "student.whole.pt", "pruned.fold0.pt", "student.fold0.pt")
"""Where the network that ships lies in a pack's work folder: narrowed or not, with several folds or one."""


@dataclass(frozen=True, slots=True)
class LabelLoss:
    """The objective of plain training: cross-entropy with the films' targets and weights."""

    targets: Targets
    plan: Train
    beside: Alignment | None = None
    changes_films: bool = False

    def __call__(self, net: CamNet, films: Tensor, index: NDArray[np.int64]) -> Tensor:
        """See :class:`converters.training.fitting.Objective`."""
        with in_sixteen_bits():
            maps, features = net(films)
        logits = maps.float().flatten(2).mean(dim=2) + net.bias
        losses = cross_entropy(logits, self.targets, index, self.plan)
        if self.beside is not None:
            losses = losses + self.plan.alignment_weight * self.beside(features.float(), index)
        return losses


def cross_entropy(logits: Tensor, targets: Targets, index: NDArray[np.int64], plan: Train) -> Tensor:
    """(B,) weighted cross-entropy, of each film in the channel that learns its label."""
    smooth = plan.label_smoothing
    here = logits.device
    target = torch.from_numpy(targets.main[index]).to(here) * (1.0 - 2.0 * smooth) + smooth
    weight = torch.from_numpy(targets.weights[index]).to(here)
    channel = torch.from_numpy(targets.channel[index]).to(here)
    learnt = logits.gather(1, channel[:, None])[:, 0]
    return weight * functional.binary_cross_entropy_with_logits(learnt, target, reduction="none")


def initialise_network(recipe: Recipe, name: str, channels: int, near: Path) -> CamNet:
    """The network before the first step: ImageNet's weights, a checkpoint's trunk, or random ones.

    ``near`` is the folder that a checkpoint's relative path starts from. Raises
    :class:`~converters.failures.RecipeInvalid` for a network that has no published weights.
    """
    plan = recipe.train
    assert plan is not None
    net = build_network(recipe, name, channels, plan.dropout)
    if plan.start == "imagenet" and (has_published(net) or not recipe.net.members):  # of a pair one may have none
        load_published(recipe, net)
    elif plan.start not in ("imagenet", "random"):
        _fill_trunk(net, near / plan.start)
    return net


def _fill_trunk(net: CamNet, path: Path) -> None:
    """Load all but the classifier, which keeps its own start."""
    saved = checkpoint.load(path)
    trunk = {key: value for key, value in saved.state.items() if not key.startswith(net.fresh)}
    own = {key: value for key, value in net.state_dict().items() if key.startswith(net.fresh)}
    checkpoint.fill(net, {**trunk, **own}, path)


def initialise_student(recipe: Recipe, plan: Distill, packs: Path, near: Path) -> CamNet:
    """A student before the first step, as ``[distill] start`` says. ``packs`` holds the work folders of all packs,
    ``near`` is the recipe's folder.

    Raises :class:`~converters.failures.CheckpointUnreadable` when what it begins from was not made yet.
    """
    assert recipe.net.student is not None
    net = build_network(recipe, recipe.net.student, 1, plan.dropout)
    path = find_student_start(plan, packs, near)
    if path is not None and plan.start.startswith(PRETRAINED):
        _fill_trunk(net, path)
    elif path is not None:
        checkpoint.fill(net, checkpoint.load(path).state, path)
    elif plan.start == "imagenet":
        load_published(recipe, net)
    return net


def find_student_start(plan: Distill, packs: Path, near: Path) -> Path | None:
    """The checkpoint, of another pack or pre-trained, that ``[distill] start`` names; ``None`` where it names none."""
    if plan.start.startswith(PRETRAINED):
        return near / plan.start.removeprefix(PRETRAINED)
    if not plan.start.startswith(OTHER_PACK):
        return None
    folder = packs / plan.start.removeprefix(OTHER_PACK)
    return next((path for path in map(folder.joinpath, SHIPPED) if path.is_file()), folder / SHIPPED[-1])


def has_published(net: CamNet) -> bool:
    """Whether there are ImageNet's weights for it."""
    return isinstance(net, Lite | Pyramid)


def load_published(recipe: Recipe, net: CamNet) -> None:
    """ImageNet's weights; raises :class:`~converters.failures.RecipeInvalid` for a kind that has none."""
    if not has_published(net):
        raise RecipeInvalid(recipe.pack, f'start: {net.name} has no published weights; write start = "random"')
    load_imagenet(net, imagenet_weights())


def build_network(recipe: Recipe, name: str, channels: int, dropout: float) -> CamNet:
    """:func:`converters.nets.build`; raises :class:`~converters.failures.RecipeInvalid` for an unknown name."""
    torch.manual_seed(recipe.seed)  # of the layers that begin at random, whatever was made before
    try:
        return build(name, findings=channels, dropout=dropout)
    except KeyError as error:
        raise RecipeInvalid(recipe.pack, f"net: {error.args[0]}") from error


def restore(path: Path, channels: int = 1) -> CamNet:
    """The network of one of our checkpoints, in evaluation mode, without the heads of other sets."""
    saved = checkpoint.load(path)
    net = build(saved.net, saved.plan, findings=len(saved.state["bias"]))
    checkpoint.fill(net, saved.state, path)
    return net.first_channels(channels).eval()
