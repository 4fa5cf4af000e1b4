"""Does every file still show the right place? Its map is compared with Grad-CAM of the PyTorch network it was made
from.

Grad-CAM (Selvaraju et al. 2017) is computed with autograd: the gradient of the finding's logit on the last feature
layer, averaged over its cells, weighs that layer's channels.  With a global mean and one linear layer behind the
features those weights are the classifier's own, divided by the number of cells, so that Grad-CAM *before its ReLU* is
the class activation map up to that factor; that form gives every cell of a file's map a rank, and the gate judges it.
Grad-CAM proper keeps only evidence for the finding (ReLU), as the box draws it; both sides then have many cells at 0,
which share a rank.  Where neither side has such evidence there is nothing to compare and the film counts as *flat*;
where one has and the other has not it counts as 0.

Two further measures refuse nothing: whether covering parts of a film says the same
(:mod:`converters.explanation.occlusion`), and, where the data have outlines, the pointing game (Zhang et al. 2018): how
often the strongest cell of a positive film lies in the outline.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from converters.data.datasets import Film
from converters.data.preprocessing import round_to_bytes
from converters.data.recipe_data import labels_of
from converters.data.splits import Fold
from converters.evaluation import operating_point
from converters.explanation import occlusion
from converters.formats import artefacts, model_files
from converters.formats.artefacts import NAMES, Key
from converters.nets import CamNet
from converters.statistics import intervals
from converters.synthetic_images import phantom
from converters.tasks.classify import MAP
from converters.training import fitting, steps
from converters.training.steps import RecipeRun
from firmware_app.imaging.model_input import to_model_input
from firmware_app.packs.runtimes import registry
from firmware_app.packs.tasks.classify import FindingSpec

FILMS = 50
COVERED_FILMS = 8
PHANTOMS = 8
OPACITIES = 2

Maps = NDArray[np.float64]
"""(N, h, w): one map a film."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Spearman's rank correlation of two maps over their cells, film by film: mean, median, 5th percentile, least.

    ``n`` films count; on ``flat`` ones neither map varies.  All ``None`` where no film counts.
    """

    n: int
    flat: int
    mean: float | None = None
    median: float | None = None
    low: float | None = None
    least: float | None = None


def maps_step(run: RecipeRun) -> dict[str, Any]:
    """Compare the map of every file that ships with Grad-CAM of the network that ships."""
    recipe = run.recipe
    tables = {**steps.tables(recipe), "drawn_as": operating_point.load_pack_words(run).drawn_as}
    mark = run.ledger.fingerprint(tables, ("quantize",), run.digest)
    if (known := run.ledger.results("maps", mark)) is not None:
        return known
    shipped = run.dataset.division.shipped
    net = steps.load_final(run, shipped)
    if not run.task.activation_map or last_layer(net) is None or run.spec.depth is not None:
        results: dict[str, Any] = {"artefacts": [], "left_out": "the network has no class activation map of films"}
        run.ledger.record_step("maps", mark, results, [])
        return results
    films = run.films(choose(run))
    seen = run.array(films)
    wanted = grad_cam(net, seen)
    folder, entries = model_files.floats(run, shipped), []
    for runtime, precision in model_files.present(run):
        path = folder / NAMES[runtime, precision]
        cells = artefacts.outputs(path, runtime, run.spec, seen, (MAP,))[MAP][:, 0].astype(np.float64)
        entries.append({"runtime": runtime, "precision": precision, **compare(wanted, cells)})
    results = {
        "films": len(films.films),
        "positives": int(labels_of(films).sum()),
        "artefacts": entries,
        **measure_coverage(run, films.films[:COVERED_FILMS], net),
        "pointing": pointing(run),
    }
    run.ledger.record_step("maps", mark, results, [])
    return results


def choose(run: RecipeRun) -> list[str]:
    """Up to :data:`FILMS` films outside the test part, every other one positive as far as there are enough of each.

    Films that set the ranges of the INT8 files are left out, as long as others are there: on those a file may follow
    the original more closely.
    """
    division = run.dataset.division
    setting = set(model_files.calibration_names(run, division.shipped))
    held = run.films(division.part("val")).films
    order = np.random.default_rng(run.recipe.seed).permutation(len(held))
    ordered = sorted((held[int(index)] for index in order), key=lambda film: film.name in setting)
    return [film.name for film in alternate(ordered)[:FILMS]]


def alternate(films: Sequence[Film]) -> list[Film]:
    """Positive and negative films in turns, each kind in its order; what is left of one kind comes last."""
    positive, negative = ([film for film in films if film.label == label] for label in (1, 0))
    both = min(len(positive), len(negative))
    pairs = [film for pair in zip(positive[:both], negative[:both], strict=True) for film in pair]
    return [*pairs, *positive[both:], *negative[both:]]


def grad_cam(net: CamNet, films: NDArray[np.uint8]) -> Maps:
    """(N, H, W) uint8 → Grad-CAM of the first finding before its ReLU, on :func:`last_layer`.

    Raises :class:`ValueError` for a network without one.
    """
    net = net.copy().requires_grad_(False)
    layer = last_layer(net)
    if layer is None:
        raise ValueError(f"{net.name} has no layer behind which a global mean stands")
    last: list[torch.Tensor] = []

    def begin(_module: nn.Module, _given: object, features: torch.Tensor) -> torch.Tensor:
        """The gradient reaches back to the features and no further."""
        last[:] = [features.detach().requires_grad_()]
        return last[0]

    def compute(one: CamNet, seen: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(one.logits(seen)[:, 0].sum(), last)
        return (slope.mean(dim=(2, 3), keepdim=True) * last[0].detach()).sum(dim=1)

    layer.register_forward_hook(begin)
    return fitting.over(net, films, compute)


def last_layer(net: CamNet) -> nn.Module | None:
    """The module that gives the features from which the map is made; ``None`` where there is no such map.

    Ours hand them on through the dropout, which does nothing here; of a foreign network the recipe names the module.
    """
    if isinstance(getattr(net, "cam", None), nn.Conv2d):
        return net.dropout
    inner, table = getattr(net, "inner", None), getattr(net, "wanted", None)
    named = getattr(table, "features", None)
    return inner.get_submodule(named) if isinstance(inner, nn.Module) and named else None


def compare(wanted: Maps, given: Maps) -> dict[str, Any]:
    """Both forms of Grad-CAM against a file's maps: ``every_cell``, and ``evidence`` with both cut off below 0."""
    return {
        "every_cell": asdict(agreement(wanted, given)),
        "evidence": asdict(agreement(np.maximum(wanted, 0.0), np.maximum(given, 0.0))),
    }


def agreement(wanted: Maps, given: Maps) -> Agreement:
    """See :class:`Agreement`.  Raises :class:`ValueError` for maps of different shapes."""
    if wanted.shape != given.shape:
        raise ValueError(f"maps of shape {given.shape} are not those of shape {wanted.shape}")
    values, flat = [], 0
    for one, other in zip(wanted, given, strict=True):
        if not np.ptp(one) and not np.ptp(other):
            flat += 1
            continue
        values.append(occlusion.spearman(one, other) or 0.0)
    if not values:
        return Agreement(0, flat)
    low, middle = np.percentile(values, (5, 50))
    numbers = (float(np.mean(values)), float(middle), float(low), min(values))
    return Agreement(len(values), flat, *(round(value, 4) for value in numbers))


def measure_coverage(run: RecipeRun, films: Sequence[Film], net: CamNet) -> dict[str, Any]:
    """One file's map compared with occlusion and LIME on a few films, and an artificial image to show them."""
    key = choose_file(model_files.present(run))
    finding = operating_point.finding_of(run)
    assert isinstance(finding, FindingSpec)  # a task with an activation map has these
    session = registry.get_runtime(key[0]).load(model_files.floats(run, run.dataset.division.shipped) / NAMES[key])
    model = occlusion.Model(session, run.spec, finding, MAP)
    frame = draw(run, model)
    seen = round_to_bytes(to_model_input(frame, run.spec))
    shown = {**occlusion.example(model, frame), "gradcam": np.round(grad_cam(net, seen[np.newaxis])[0], 6).tolist()}
    correlations = occlusion.compare(model, films)
    return {"covered": {"runtime": key[0], "precision": key[1], **correlations}, "examples": [shown]}


def choose_file(keys: Sequence[Key]) -> Key:
    """The file whose map is drawn: the first INT8 one, else the first there is."""
    return next((key for key in keys if key[1] == "int8"), keys[0])


def draw(run: RecipeRun, model: occlusion.Model) -> NDArray[np.float32]:
    """Draw a few synthetic films, (H, W) greys, and return the one with the highest score."""
    body = operating_point.load_pack_words(run).drawn_as
    frames = [phantom.film(body, OPACITIES, run.recipe.seed + index).astype(np.float32) for index in range(PHANTOMS)]
    return max(frames, key=lambda frame: model.logit(to_model_input(frame, run.spec)))


def pointing(run: RecipeRun) -> dict[str, Any] | None:
    """How often the strongest cell of a positive film has its middle in the outline; ``None`` without outlines.

    Each film is asked of the FP32 network of the fold that held it back.  ``chance`` is the mean share of a film that
    its outline covers: how often a random cell would hit.  Interval: patients resampled.
    """
    hits, areas, patients = [], [], []
    for fold in run.dataset.division.folds:
        for hit, area, patient in point(run, fold):
            hits.append(hit)
            areas.append(area)
            patients.append(patient)
    if not hits:
        return None
    interval = intervals.rate_interval(np.array(hits), patients)
    assert interval is not None
    return {
        "hits": sum(hits),
        "n": len(hits),
        "share": round(sum(hits) / len(hits), 4),
        "share_ci": [round(value, 4) for value in interval],
        "chance": round(float(np.mean(areas)), 4),
    }


def point(run: RecipeRun, fold: Fold) -> Iterator[tuple[bool, float, str]]:
    """For every positive held-back film with an outline: whether it is hit, the outline's share of the image, its
    patient."""
    outlined = [film.name for film in run.films(fold.held).films if film.label and film.mask is not None]
    if not outlined:
        return
    films = run.films(outlined)
    maps = fitting.outputs(steps.load_final(run, fold), run.array(films), (MAP,))[MAP][:, 0]
    for film, cells in zip(films.films, maps, strict=True):
        outline = film.outline_seen(run.spec)
        if outline is not None and outline.any():
            yield strongest_inside(cells, outline), float(outline.mean()), film.patient


def strongest_inside(cells: NDArray[np.floating[Any]], outline: NDArray[np.bool_]) -> bool:
    """Whether the middle of the strongest cell of a map (h, w) lies in an outline (H, W) of the same film."""
    row, column = np.unravel_index(int(np.argmax(cells)), cells.shape)
    place = [
        int((index + 0.5) / count * side)
        for index, count, side in zip((row, column), cells.shape, outline.shape, strict=True)
    ]
    return bool(outline[place[0], place[1]])
