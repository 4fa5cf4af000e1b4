"""The loss of the task ``lesions``: outlines, boxes, small lesions and the finding of the whole picture, in one pass.

* outlines: cross-entropy and Dice (Milletari et al. 2016) of every cell, also of the deeper levels (Lee et al. 2015);
* middles of boxes and points: focal loss with a bell around each middle (CornerNet, Law & Deng 2018);
* sides of boxes: 1 - intersection over union (Yu et al. 2016); axes of points: distance of the logarithms;
* the picture: cross-entropy of its finding, weighed by what a mistake costs at the clinic (Elkan 2001), and of whether
  it shows any lesion, both classes weighed alike.

Films and outlines are moved together, and boxes and points are made of the moved outlines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from converters.nets import CamNet
from converters.nets.pyramid import Learning, Pyramid
from converters.recipe_tables import Changes
from converters.training.augment import Affine, regrey
from converters.training.targets import Targets, balance
from converters.workflow.device import in_sixteen_bits
from firmware_app.imaging.lesion_outlines import measure_outline, trace_outline
from firmware_app.imaging.pixel_operations import label_components

SMALL: Final = 1.0 / 8.0
"""A lesion whose long axis is shorter than this share of the picture's side is one for the points (32 of 256 px)."""
DEEPER: Final = 0.4
LEAST_CELLS: Final = 4
MARGIN: Final = 3
"""Pixels around a lesion that are kept free of marks: calipers at its edge are the shortcut of the real images."""
LEAST_SPREAD: Final = 0.7
FAR: Final = 1e-4


@dataclass(frozen=True)
class LesionTargets:
    """``masks`` (N, L, H, W) 0 or 1 at the model's input grid: lesions and, with L = 2, the organ; ``picture``: the
    finding of each film with its weight; ``organ_known`` (N,): whether the film has the organ's outline."""

    masks: NDArray[np.uint8]
    picture: Targets
    organ_known: NDArray[np.bool_]

    @cached_property
    def any_lesion(self) -> NDArray[np.float32]:
        """(N,): 1 where a film has a lesion."""
        return np.array([mask[0].any() for mask in self.masks], dtype=np.float32)

    @cached_property
    def any_weights(self) -> NDArray[np.float32]:
        """(N,): both kinds of films weigh the same."""
        return balance(self.any_lesion.astype(np.int64))


@dataclass(frozen=True, slots=True)
class Aim:
    """What the detectors should say of one batch: middles in [0, 1], sides or axes, and where these count."""

    middles: NDArray[np.float32]
    sizes: NDArray[np.float32]
    counts: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LesionLoss:
    """The objective; see the module.  A missed cell or middle weighs ``miss`` false ones."""

    targets: LesionTargets
    miss: float
    picture_weight: float
    smooth: float
    change: Changes
    beside: None = None
    changes_films: bool = True

    def __call__(self, net: CamNet, films: Tensor, index: NDArray[np.int64]) -> Tensor:
        """See :class:`converters.training.fitting.Objective`."""
        assert isinstance(net, Pyramid)
        there = films.device
        films, masks = self.change_films(films, index)
        with in_sixteen_bits():
            given = net.learning(films.to(there).contiguous(memory_format=torch.channels_last))
        return (
            self._outlines(given, masks.to(there), index)
            + self._detections(given, masks)
            + self._picture(given.map, net.bias, index)
        )

    def change_films(self, films: Tensor, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """(B, 1, H, W) films and the (B, L, H, W) masks of rows ``index``, moved together."""
        rng = torch.default_generator
        affine = Affine.draw(len(films), self.change, rng)
        masks = torch.from_numpy(self.targets.masks[index]).float()
        if masks.shape[2:] != films.shape[2:]:
            masks = functional.interpolate(masks, films.shape[2:], mode="area")
        moved = affine.planes(masks)
        near = functional.max_pool2d(moved[:, :1], 2 * MARGIN + 1, 1, MARGIN) > 0.0
        return regrey(affine.films(films.cpu()), self.change, rng, near), moved

    def _outlines(self, given: Learning, masks: Tensor, index: NDArray[np.int64]) -> Tensor:
        known = torch.ones(masks.shape[:2], device=masks.device)
        if masks.shape[1] > 1:
            known[:, 1] = torch.from_numpy(self.targets.organ_known[index]).float()
        total = _outline(given.outline, masks, known, self.miss)
        for one in given.deeper:
            total = total + DEEPER * _outline(one, masks, known, self.miss)
        return total

    def _detections(self, given: Learning, masks: Tensor) -> Tensor:
        here = given.boxes.device
        shapes = given.boxes.shape[2:], given.points.shape[2:]
        aims = [aim(lesion_piece, *shapes) for lesion_piece in lesion_pieces(masks[:, 0], given.outline.shape[2:])]
        boxes, points = (_stack([aim[kind] for aim in aims], here) for kind in (0, 1))
        ordinary = _focal(given.boxes[:, 0].float(), boxes[0], self.miss) + _far(given.boxes[:, 1:].float(), *boxes[1:])
        axes = functional.smooth_l1_loss(given.points[:, 1:].float(), points[1], reduction="none").mean(dim=1)
        small = _focal(given.points[:, 0].float(), points[0], self.miss) + _mean_at(axes, points[2])
        return ordinary + small

    def _picture(self, maps: Tensor, bias: Tensor, index: NDArray[np.int64]) -> Tensor:
        logits, shown = (maps.float().flatten(2).mean(dim=2) + bias).unbind(dim=1)
        target = torch.from_numpy(self.targets.picture.main[index]).to(logits.device)
        weight = torch.from_numpy(self.targets.picture.weights[index]).to(logits.device)
        target = target * (1.0 - 2.0 * self.smooth) + self.smooth
        each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        any_lesion = torch.from_numpy(self.targets.any_lesion[index]).to(logits.device)
        balance = torch.from_numpy(self.targets.any_weights[index]).to(logits.device)
        beside = functional.binary_cross_entropy_with_logits(
            shown, any_lesion * (1.0 - 2.0 * self.smooth) + self.smooth, reduction="none"
        )
        return self.picture_weight * (weight * each + balance * beside)


def _outline(cells: Tensor, masks: Tensor, known: Tensor, miss: float) -> Tensor:
    """(B,) cross-entropy and Dice of (B, L, h, w) logits against masks; channels that are not known do not count."""
    cells = cells.float()
    truth = functional.adaptive_avg_pool2d(masks, cells.shape[2:])
    each = functional.binary_cross_entropy_with_logits(cells, truth, reduction="none")
    each = each * (1.0 + (miss - 1.0) * truth)
    chance, truth = torch.sigmoid(cells).flatten(2), truth.flatten(2)
    overlap = (2.0 * (chance * truth).sum(dim=2) + 1.0) / (chance.sum(dim=2) + truth.sum(dim=2) + 1.0)
    return ((each.flatten(2).mean(dim=2) + 1.0 - overlap) * known).sum(dim=1)


def _focal(odds: Tensor, middles: Tensor, miss: float) -> Tensor:
    """(B,) focal loss of (B, h, w) log odds: 1 is a middle, and cells near it are no full mistakes."""
    chance = torch.sigmoid(odds).clamp(FAR, 1.0 - FAR)
    on = middles >= 1.0 - 1e-3
    missed = -((1.0 - chance) ** 2) * torch.log(chance) * miss
    false = -((1.0 - middles) ** 4) * chance**2 * torch.log(1.0 - chance)
    return torch.where(on, missed, false).flatten(1).sum(dim=1) / on.flatten(1).sum(dim=1).clamp_min(1.0)


def _far(sides: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """(B,) 1 - intersection over union of boxes that share the cell's middle, (B, 4, h, w) distances to the sides."""
    sides = functional.softplus(sides)
    first, second = torch.minimum(sides, wanted), torch.maximum(sides, wanted)
    both = (first[:, 0] + first[:, 2]) * (first[:, 1] + first[:, 3])
    sizes = [(one[:, 0] + one[:, 2]) * (one[:, 1] + one[:, 3]) for one in (sides, wanted)]
    union = sizes[0] + sizes[1] - both
    apart = (second - first).mean(dim=1)
    return _mean_at(1.0 - both / union.clamp_min(FAR) + 0.05 * apart, counts)


def _mean_at(values: Tensor, counts: Tensor) -> Tensor:
    return (values * counts).flatten(1).sum(dim=1) / counts.flatten(1).sum(dim=1).clamp_min(1.0)


def _stack(aims: Sequence[Aim], where: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    parts = ([one.middles for one in aims], [one.sizes for one in aims], [one.counts for one in aims])
    middles, sizes, counts = (torch.from_numpy(np.stack(part)).to(where) for part in parts)
    return middles, sizes, counts


def lesion_pieces(masks: Tensor, shape: tuple[int, int]) -> list[list[NDArray[np.bool_]]]:
    """(B, H, W) moved masks → the connected lesions of each at the grid (h, w) of the outline."""
    cells = functional.adaptive_avg_pool2d(masks[:, None], shape)[:, 0].numpy() >= 0.5
    pieces = []
    for cell in cells:
        numbers, count = label_components(cell)
        pieces.append([numbers == n for n in range(1, count + 1) if int((numbers == n).sum()) >= LEAST_CELLS])
    return pieces


def aim(lesions: Sequence[NDArray[np.bool_]], coarse: tuple[int, int], fine: tuple[int, int]) -> tuple[Aim, Aim]:
    """Lesions of one film, masks at the grid ``fine`` → the aims of the boxes at ``coarse`` and of the points at it."""
    boxes, points, scale = _empty(coarse, 4), _empty(fine, 2), coarse[0] / fine[0]
    for mask in lesions:
        rows, columns = np.nonzero(mask)
        left, top = float(columns.min()), float(rows.min())
        right, bottom = float(columns.max() + 1), float(rows.max() + 1)
        middle = (left + right) / 2.0, (top + bottom) / 2.0
        long, short = _axes(mask, right - left, bottom - top)
        if long < SMALL * fine[0]:
            near = _set(points, middle, long / 6.0)
            points.sizes[:, near] = np.log([[max(long, 1.0)], [max(short, 1.0)]])
        near = _set(boxes, (middle[0] * scale, middle[1] * scale), min(right - left, bottom - top) * scale / 6.0)
        y, x = np.nonzero(near)
        sides = [x + 0.5 - left * scale, y + 0.5 - top * scale, right * scale - x - 0.5, bottom * scale - y - 0.5]
        boxes.sizes[:, near] = np.maximum(sides, 0.0)
    return boxes, points


def _axes(mask: NDArray[np.bool_], wide: float, high: float) -> tuple[float, float]:
    """The long and the short axis of a mask, in cells; of one too thin for an outline the sides of its box."""
    found = measure_outline(trace_outline(mask.astype(np.float64), 0.5))
    return (found.long, found.short) if found else (max(wide, high), min(wide, high))


def _empty(shape: tuple[int, int], sizes: int) -> Aim:
    return Aim(*(np.zeros((*layers, *shape), np.float32) for layers in ((), (sizes,), ())))


def _set(aim: Aim, middle: tuple[float, float], spread: float) -> NDArray[np.bool_]:
    """Set a bell of ``spread`` cells around ``middle`` (x, y); returns the cells near it, where the sizes count."""
    high, wide = aim.middles.shape
    x, y = min(int(middle[0]), wide - 1), min(int(middle[1]), high - 1)
    rows, columns = np.mgrid[:high, :wide]
    away = (rows - y) ** 2 + (columns - x) ** 2
    np.maximum(aim.middles, np.exp(-away / (2.0 * max(spread, LEAST_SPREAD) ** 2)), out=aim.middles)
    near = (np.abs(rows - y) <= 1) & (np.abs(columns - x) <= 1) & ((aim.counts == 0.0) | (away == 0))
    aim.counts[near] = 1.0
    return near
