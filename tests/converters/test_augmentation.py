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
    outlined, moved = DiceLoss(masks, 1.0, changes).changed(films, torch.from_numpy(masks.copy()).float())
    torch.manual_seed(7)
    boxed, boxes = BoxLoss(((SQUARE,),) * FILMS, 1.0, changes).changed(films, np.arange(FILMS))
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

    from converters.training.augment import augmented

    films = torch.rand(6, channels, 64, 64)
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        changed = augmented(films, Changes(flip=0.5), rng)
        assert changed.shape == films.shape
        assert 0.0 <= float(changed.min()) <= float(changed.max()) <= 1.0
        assert not torch.equal(changed, films)


def waves() -> Any:
    """(4, 1, 64, 64) smooth films."""
    import torch

    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    return torch.stack([0.5 + 0.5 * torch.sin(9 * x + 7 * y * k) for k in (1.0, 2.0, 3.0, 4.0)])[:, None]


@pytest.mark.parametrize(
    ("change", "means", "spreads"),
    [
        ({}, (0.49447, 0.41173, 0.44527, 0.4386), (0.32539, 0.34014, 0.349, 0.35669)),
        (
            {"zoom_in": 0.2, "gamma": 0.5, "flip": 0.5},
            (0.52447, 0.42904, 0.42023, 0.42964),
            (0.32649, 0.3498, 0.35038, 0.35858),
        ),
    ],
    ids=["defaults", "adult 0.3.0"],
)
def test_an_older_recipes_films_are_changed_as_before(
    change: dict[str, float], means: tuple[float, ...], spreads: tuple[float, ...]
) -> None:
    """The numbers were taken before there were borders, letters and the like."""
    import torch

    from converters.training.augment import augmented

    made = augmented(waves(), Changes(**change), torch.Generator().manual_seed(3))
    assert made.mean((1, 2, 3)).tolist() == pytest.approx(means, abs=2e-3)
    assert made.std((1, 2, 3)).tolist() == pytest.approx(spreads, abs=2e-3)


@pytest.mark.parametrize("more", [{}, {"rotation": 20.0, "shift": 0.1, "zoom_in": 0.3, "aspect": 0.25, "flip": 0.5}])
def test_a_border_moves_a_film_its_mask_and_its_box_together(more: dict[str, float]) -> None:
    import torch

    from converters.training.augment import Affine

    square = torch.from_numpy(inside(SQUARE))
    films = square.float().expand(24, 1, SIDE, SIDE)
    affine = Affine.drawn(24, Changes(**{**STILL, **more, "borders": 1.0}), torch.Generator().manual_seed(1))
    moved, masks = affine.films(films)[:, 0], affine.masks(square.long().expand(24, SIDE, SIDE))
    assert affine.frame is not None
    assert affine.grey is not None
    assert set(affine.grey.tolist()) == {0.0, 1.0}
    planes = affine.planes(films)[:, 0]
    for film, mask, plane, box, frame, grey in zip(
        moved.numpy(),
        masks.numpy(),
        planes.numpy(),
        affine.boxes([[SQUARE]] * 24),
        affine.frame.tolist(),
        affine.grey.tolist(),
        strict=True,
    ):
        shown = inside(tuple(frame))
        assert (film[~shown] == grey).all()
        assert not mask[~shown].any()
        assert not plane[~shown].any()
        assert overlap((film > 0.5) & shown, mask > 0) > 0.9
        assert overlap(around(mask > 0), inside(box[0])) > 0.9
        if not more:  # nothing of the film is lost: it is drawn smaller
            width, height = frame[2] - frame[0], frame[3] - frame[1]
            assert mask.sum() / square.sum().item() == pytest.approx(width * height, abs=0.08)
    assert float(affine.frame[:, 0].max()) > 0.05


def test_letters_are_bright_near_the_edge_and_cover_little() -> None:
    import torch

    from converters.training.machine_marks import lettered

    films = torch.full((40, 1, SIDE, SIDE), 0.4)
    made = lettered(films, 1.0, torch.Generator().manual_seed(2))
    changed = (made != films)[:, 0]
    for film, marked in zip(made[:, 0].numpy(), changed.numpy(), strict=True):
        assert film[marked].max() > 0.5 or film[marked].min() < 0.1
        assert 0.0 < marked.mean() < 0.2
        assert not marked[SIDE * 3 // 8 : SIDE * 5 // 8, SIDE * 7 // 16 : SIDE * 9 // 16].any()
    assert torch.equal(lettered(films, 0.0, torch.Generator().manual_seed(2)), films)
    assert 8 < int(lettered(films, 0.5, torch.Generator().manual_seed(2)).ne(films).flatten(1).any(dim=1).sum()) < 32


@pytest.mark.parametrize("name", ["lettered", "pictured"])
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


def test_the_loss_of_lesions_draws_no_mark_on_a_lesion_however_it_moved() -> None:
    import torch

    from converters.training.lesion_loss import LesionLoss, LesionTargets
    from converters.training.targets import Targets

    masks = np.zeros((24, 1, SIDE, SIDE), dtype=np.uint8)
    masks[:12, :, 40:88, 30:90] = 1
    nothing = np.zeros(24, dtype=np.float32)
    aim = LesionTargets(masks, Targets(nothing, nothing, np.zeros(24, dtype=np.int64)), np.zeros(24, dtype=np.bool_))
    change = Changes(**{**STILL, "jpeg": 0.0, "letters": 1.0, "icons": 1.0, "rotation": 15.0})
    torch.manual_seed(1)
    films, moved = LesionLoss(aim, 2.0, 0.5, 0.0, change).changed(torch.full((24, 1, SIDE, SIDE), 0.5), np.arange(24))
    for film, mask in zip(films[:12, 0], moved[:12, 0], strict=True):
        inside = film[mask > 0.5]
        assert float(inside.max() - inside.min()) < 1e-4
    assert all(len(film.unique()) > 2 for film in films[12:, 0])


def test_a_lower_resolution_takes_fine_detail_and_leaves_the_coarse() -> None:
    import torch
    from torch.nn import functional

    from converters.training.machine_marks import resampled

    films = (
        torch.rand(8, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 0.2
        + functional.interpolate(waves()[:1], (SIDE, SIDE), mode="bilinear") * 0.8
    )
    for seed in range(6):
        made = resampled(films, 1.0, torch.Generator().manual_seed(seed))
        fine, before = (one[:, :, :, 1:].sub(one[:, :, :, :-1]).abs().mean() for one in (made, films))
        assert float(fine) < 0.9 * float(before)
        assert float((functional.avg_pool2d(made, 16) - functional.avg_pool2d(films, 16)).abs().mean()) < 0.05


def test_local_contrast_evens_out_what_is_broad_and_keeps_edges() -> None:
    import torch

    from converters.training.machine_marks import equalised

    slope = torch.linspace(0.0, 1.0, SIDE).expand(16, 1, SIDE, SIDE).clone()
    slope[:, :, SIDE // 2 :: 4] = (slope[:, :, SIDE // 2 :: 4] + 0.1).clamp(max=1.0)
    made = equalised(slope, 1.0, torch.Generator().manual_seed(0))
    broad = made[:, 0, : SIDE // 2].mean(dim=1)
    assert float(broad[:, -20:].mean() - broad[:, :20].mean()) < 0.8 * 0.84  # what the slope itself rises by
    rows = made[:, 0, SIDE // 2 :: 4, 40:80] - made[:, 0, SIDE // 2 + 2 :: 4, 40:80]
    assert float(rows.mean()) > 0.05


def test_a_narrow_window_clips_both_ends() -> None:
    import torch

    from converters.training.machine_marks import windowed

    slope = torch.linspace(0.0, 1.0, SIDE).expand(64, 1, SIDE, SIDE)
    made = windowed(slope, 0.2, torch.Generator().manual_seed(0))
    black, white = (made == 0.0).float().mean((1, 2, 3)), (made == 1.0).float().mean((1, 2, 3))
    assert 0.1 < float(black.max()) <= 0.21
    assert 0.1 < float(white.max()) <= 0.21
    assert (made[:, :, :, 1:] >= made[:, :, :, :-1]).all()


@pytest.mark.parametrize("name", ["compressed", "resampled", "sharpened", "equalised", "lettered", "pictured"])
def test_a_share_of_the_films_is_changed_and_the_rest_is_left(name: str) -> None:
    import torch

    from converters.training import augment, machine_marks

    films, rng = torch.rand(64, 1, 64, 64, generator=torch.Generator().manual_seed(5)), torch.Generator().manual_seed(4)
    function = getattr(machine_marks, name, None) or getattr(augment, name)
    made = function(films, 0.5, rng)
    changed = made.ne(films).flatten(1).any(dim=1)
    assert 16 < int(changed.sum()) < 48
    assert -0.2 <= float(made.min()) <= float(made.max()) <= 1.2


def test_a_share_of_the_films_gets_a_border() -> None:
    import torch

    from converters.training.machine_marks import frames

    frame, _ = frames(64, 0.5, torch.Generator().manual_seed(4))
    assert 24 < int((frame == torch.tensor([0.0, 0.0, 1.0, 1.0])).all(dim=1).sum()) < 52
