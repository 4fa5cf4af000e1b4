"""Films are changed at random, and their masks and boxes move with them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.recipe_tables import Changes

SIDE, FILMS = 128, 6
SQUARE = (0.25, 0.375, 0.625, 0.75)
"""Where a bright square lies in every film: x0, y0, x1, y1 as fractions."""
STILL: Mapping[str, float] = dict.fromkeys(
    ("rotation", "shift", "zoom_in", "zoom_out", "aspect", "gamma", "noise", "blur", "erase", "flip"), 0.0
)


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((first & second).sum() / (first | second).sum())


def inside(box: tuple[float, ...]) -> NDArray[np.bool_]:
    """(SIDE, SIDE): the pixels whose middle lies in a box."""
    y, x = (np.mgrid[0:SIDE, 0:SIDE] + 0.5) / SIDE
    return np.asarray((x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3]))


def around(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The upright box around a mask, filled."""
    box = np.zeros_like(mask)
    y, x = np.nonzero(mask)
    box[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
    return box


@pytest.mark.parametrize(
    "change",
    [
        {"rotation": 30.0},
        {"shift": 0.1},
        {"zoom_in": 0.3},
        {"zoom_out": 0.3},
        {"aspect": 0.2},
        {"flip": 1.0},
        {"gamma": 0.35},
        {"noise": 0.04},
        {"blur": 1.0},
        {"resolution": 1.0},
        {"sharpness": 1.0},
        {"window": 0.2},
        {"rotation": 12.0, "shift": 0.08, "zoom_out": 0.3, "aspect": 0.12, "flip": 0.5, "gamma": 0.35, "blur": 0.4},
    ],
    ids=lambda change: "+".join(change),
)
def test_a_square_its_mask_and_its_box_lie_in_one_place_after_a_change(change: dict[str, float]) -> None:
    import torch

    from converters.tasks.boxes import BoxLoss
    from converters.training.dice_loss import DiceLoss

    changes, square = Changes(**{**STILL, **change}), inside(SQUARE)
    films = torch.from_numpy(square).float().expand(FILMS, 1, SIDE, SIDE)
    masks = np.broadcast_to(square.astype(np.uint8), (FILMS, SIDE, SIDE))
    torch.manual_seed(7)
    outlined, moved = DiceLoss(masks, 1.0, changes).change_films(films, torch.from_numpy(masks.copy()).float())
    torch.manual_seed(7)
    boxed, boxes = BoxLoss(((SQUARE,),) * FILMS, 1.0, changes).change_films(films, np.arange(FILMS))
    assert outlined.equal(boxed)
    for film, mask, found in zip(outlined[:, 0].numpy(), moved.numpy() > 0.5, boxes, strict=True):
        assert overlap(film > 0.5, mask) > 0.9
        assert overlap(around(mask), inside(found[0])) > 0.9
    stays = set(change) <= {"gamma", "noise", "blur", "resolution", "sharpness", "window"}
    assert (min(overlap(mask > 0.5, square) for mask in moved.numpy()) == 1.0) == stays


@pytest.mark.parametrize(("shift", "wanted"), [(0.75, (0.0, 0.375, 0.25, 0.75)), (1.1, None)], ids=["part", "little"])
def test_a_box_that_leaves_the_film_is_cut_and_dropped_where_little_is_left(shift: float, wanted: Any) -> None:
    """The square moves left by half of ``shift`` of the film's width: 2/3 of it are left, and 1/5."""
    import torch

    from converters.training.augment import Affine

    matrix = torch.tensor([[[1.0, 0.0, shift], [0.0, 1.0, 0.0]]])
    (found,) = Affine(matrix).boxes([[SQUARE]])
    assert found == (() if wanted is None else (pytest.approx(wanted),))


@pytest.mark.parametrize("channels", [1, 3], ids=["greys", "colours"])
def test_augmented_films_keep_their_shape_and_range(channels: int) -> None:
    import torch

    from converters.training.augment import augment

    films = torch.rand(6, channels, 64, 64)
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        changed = augment(films, Changes(flip=0.5), rng)
        assert changed.shape == films.shape
        assert 0.0 <= float(changed.min()) <= float(changed.max()) <= 1.0
        assert not torch.equal(changed, films)


@pytest.mark.parametrize("name", ["add_letters", "add_picture"])
def test_a_mark_keeps_off_a_lesion_and_is_drawn_on_films_without_one(name: str) -> None:
    """Calipers at a lesion are the short cut of real images: a drawn mark must not say where one is."""
    import torch

    from converters.training import machine_marks

    films, spared = torch.full((40, 1, SIDE, SIDE), 0.4), torch.zeros(40, 1, SIDE, SIDE, dtype=torch.bool)
    spared[:20, :, :, : SIDE // 2] = True
    made = getattr(machine_marks, name)(films, 1.0, torch.Generator().manual_seed(2), spared)
    changed = made != films
    assert not (changed & spared).any()
    assert int(changed[20:].flatten(1).any(dim=1).sum()) >= 19
    assert int(changed[:20].flatten(1).any(dim=1).sum()) >= 5
