"""Random changes to training films, so that a model learns lungs and not the habits of one X-ray room.

Films are batches (N, C, H, W) float32 in [0, 1]. Geometry first, then exposure, then the same percentile stretch that
the box applies (its percentiles jittered), then what a detector, a scanner or a lossy file may add. What a recipe turns
off takes no random number, so that an older recipe's films stay as they were.

The geometry is one :class:`Affine` a batch, drawn once: it moves films, and with them their masks and boxes. What
follows changes greys alone and leaves every place where it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor
from torch.nn import functional

from converters.recipe_tables import Changes
from converters.training import machine_marks
from firmware_app.packs.tasks.boxes import Corners

JPEG_BLOCK = 8
LEAST_LEFT: Final = 0.25
"""A box of which less than this share of the area is left inside the film is dropped."""


def augment(films: Tensor, change: Changes, rng: torch.Generator) -> Tensor:
    """A changed copy of ``films``, same shape and range."""
    return regrey(Affine.draw(len(films), change, rng).films(films), change, rng)


@dataclass(frozen=True, slots=True)
class Affine:
    """Rotation, shift, zoom (also uneven: sites crop differently) and mirroring of each film of a batch.

    ``matrix`` (N, 2, 3) leads from a place in the changed film to its place in the original, in the coordinates of
    :func:`torch.nn.functional.affine_grid`: -1 and 1 are the film's edges, x before y. Outside the film is black.
    """

    matrix: Tensor
    frame: Tensor | None = None
    """(N, 4) the part of the changed film that shows something, x0, y0, x1, y1 as fractions; around it is a border."""
    grey: Tensor | None = None
    """(N,) that of each border."""

    @classmethod
    def draw(cls, count: int, change: Changes, rng: torch.Generator) -> Self:
        """One for each of ``count`` films, as far as the recipe says."""
        angle = torch.deg2rad(uniform(count, -change.rotation, change.rotation, rng)).flatten()
        zoom = uniform(count, 1.0 - change.zoom_in, 1.0 + change.zoom_out, rng).flatten()
        uneven = uniform(count, 1.0 - change.aspect, 1.0 + change.aspect, rng).flatten()
        mirror = torch.where(uniform(count, 0.0, 1.0, rng).flatten() < change.flip, -1.0, 1.0)
        matrix = torch.zeros(count, 2, 3)
        matrix[:, 0, 0] = angle.cos() * zoom * uneven * mirror
        matrix[:, 0, 1] = -angle.sin() * zoom
        matrix[:, 1, 0] = angle.sin() * zoom * mirror
        matrix[:, 1, 1] = angle.cos() * zoom / uneven
        room = change.shift + (1.0 - zoom).clamp(min=0.0) * 0.7
        matrix[:, :, 2] = (torch.rand(count, 2, generator=rng) * 2.0 - 1.0) * room[:, None] * 1.4
        return cls(matrix)._frame(*machine_marks.frames(count, change.borders, rng)) if change.borders else cls(matrix)

    def _frame(self, frame: Tensor, grey: Tensor) -> Self:
        """The same within a border: first the film into its frame, then as before."""
        size, middle = frame[:, 2:] - frame[:, :2], frame[:, 2:] + frame[:, :2] - 1.0
        turned = self.matrix[:, :, :2] / size[:, None]
        shift = self.matrix[:, :, 2] - (turned @ middle[:, :, None])[:, :, 0]
        return type(self)(torch.cat([turned, shift[:, :, None]], dim=2), frame, grey)

    def films(self, films: Tensor) -> Tensor:
        """(N, C, H, W), moved, with their borders."""
        return self._move(films, self.grey)

    def planes(self, planes: Tensor) -> Tensor:
        """Move the per-pixel targets, (N, C, H, W); the border gets 0."""
        return self._move(planes, None)

    def _move(self, films: Tensor, grey: Tensor | None) -> Tensor:
        grid = functional.affine_grid(self.matrix, list(films.shape), align_corners=False)
        moved = functional.grid_sample(films, grid, align_corners=False)
        if self.frame is None:
            return moved
        around = torch.zeros(len(films), 1, 1, 1) if grey is None else grey[:, None, None, None]
        return torch.where(self._show(films.shape[-2], films.shape[-1]), moved, around.to(moved.dtype))

    def _show(self, height: int, width: int) -> Tensor:
        """(N, 1, H, W): the pixels whose middle lies in the frame."""
        assert self.frame is not None
        x0, y0, x1, y1 = (side[:, None] for side in self.frame.T)
        x, y = (torch.arange(width) + 0.5) / width, (torch.arange(height) + 0.5) / height
        along, down = (x >= x0) & (x < x1), (y >= y0) & (y < y1)
        return (down[:, :, None] & along[:, None, :])[:, None]

    def masks(self, masks: Tensor) -> Tensor:
        """(N, H, W) masks of 0 and 1, moved: 1 where at least half of what lands in a pixel lay inside."""
        return (self.planes(masks[:, None].float())[:, 0] >= 0.5).to(masks.dtype)

    def boxes(self, boxes: Sequence[Sequence[Corners]]) -> list[tuple[Corners, ...]]:
        """Move the boxes of each film: the upright boxes around their moved corners, clipped to the film.

        Corners are fractions of the film's width and height.
        """
        moved = []
        frames = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(len(boxes), 4) if self.frame is None else self.frame
        for film, matrix, frame in zip(boxes, self.matrix.double(), frames.double(), strict=True):
            turned = torch.linalg.inv(matrix[:, :2])
            kept = [_around(box, turned, matrix[:, 2], frame) for box in film]
            moved.append(tuple(box for box in kept if box is not None))
        return moved


def _around(box: Corners, turned: Tensor, shift: Tensor, frame: Tensor) -> Corners | None:
    """The box around the moved corners of ``box``, cut to the ``frame``; ``None`` where less than :data:`LEAST_LEFT` of
    it is left."""
    x0, y0, x1, y1 = box
    corners = torch.tensor([(x0, y0), (x1, y0), (x0, y1), (x1, y1)], dtype=torch.float64) * 2.0 - 1.0
    moved = ((corners - shift) @ turned.T + 1.0) / 2.0
    low, high = moved.amin(dim=0), moved.amax(dim=0)
    first, last = (torch.minimum(torch.maximum(one, frame[:2]), frame[2:]) for one in (low, high))
    left = float((last - first).prod())
    if not left or left < LEAST_LEFT * float((high - low).prod()):
        return None
    return float(first[0]), float(first[1]), float(last[0]), float(last[1])


def regrey(films: Tensor, change: Changes, rng: torch.Generator, spared: Tensor | None = None) -> Tensor:
    """A copy of ``films`` with other greys: nothing in them moves.  Marks keep off what is ``spared``, (N, 1, H, W)."""
    if change.letters:
        films = machine_marks.add_letters(films, change.letters, rng, spared)
    if change.icons:
        films = machine_marks.add_picture(films, change.icons, rng, spared)
    films = change_exposure(films, change, rng)
    if change.window:
        films = machine_marks.window(films, change.window, rng)
    if change.local_contrast:
        films = machine_marks.equalise(films, change.local_contrast, rng)
    films = restretch(films, rng)
    films = blur(films, change.blur, rng)
    if change.resolution:
        films = machine_marks.resample(films, change.resolution, rng)
    if change.sharpness:
        films = machine_marks.sharpen(films, change.sharpness, rng)
    films = compress(films, change.jpeg, rng)
    films = films + torch.randn(films.shape, generator=rng) * uniform(len(films), 0.0, change.noise, rng)
    return erase(films.clamp(0.0, 1.0), change.erase, rng)


def uniform(count: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    """(count, 1, 1, 1) numbers between ``low`` and ``high``."""
    return torch.rand(count, 1, 1, 1, generator=rng) * (high - low) + low


def change_exposure(films: Tensor, change: Changes, rng: torch.Generator) -> Tensor:
    """Another gamma and another contrast, as another tube voltage or look-up table would give."""
    gamma = torch.exp(torch.randn(len(films), 1, 1, 1, generator=rng) * change.gamma).clamp(0.45, 2.2)
    films = films.clamp(0.0, 1.0) ** gamma
    curve = films * films * (3.0 - 2.0 * films)
    return films + (curve - films) * uniform(len(films), -0.5, 1.0, rng)


def restretch(films: Tensor, rng: torch.Generator) -> Tensor:
    """The box's percentile stretch after the change of frame and exposure, its percentiles jittered."""
    seen = films[:, :, ::4, ::4].flatten(1)
    ordered, _ = seen.sort(dim=1)
    last = seen.shape[1] - 1
    low_at = (uniform(len(films), 0.0, 0.015, rng).flatten() * last).long()
    high_at = (uniform(len(films), 0.985, 1.0, rng).flatten() * last).long()
    low = ordered.gather(1, low_at[:, None])[:, :, None, None]
    high = ordered.gather(1, high_at[:, None])[:, :, None, None]
    return ((films - low) / (high - low).clamp(min=1e-3)).clamp(0.0, 1.0)


def blur(films: Tensor, chance: float, rng: torch.Generator) -> Tensor:
    """With probability ``chance`` reduce the whole batch's resolution to 35 to 90 % and back, like small old
    detectors."""
    if float(torch.rand(1, generator=rng)) >= chance:
        return films
    factor = 0.35 + 0.55 * float(torch.rand(1, generator=rng))
    height, width = films.shape[-2:]
    small = functional.interpolate(
        films, (int(height * factor), int(width * factor)), mode="bilinear", antialias=True, align_corners=False
    )
    back = functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)
    chosen = uniform(len(films), 0.0, 1.0, rng) < 0.5
    return torch.where(chosen, back, films)


def compress(films: Tensor, chance: float, rng: torch.Generator) -> Tensor:
    """JPEG-like noise: cosine coefficients of 8 x 8 blocks rounded to a random step, coarser at high frequency."""
    count, channels, height, width = films.shape
    grid = torch.arange(JPEG_BLOCK, dtype=torch.float32)
    basis = torch.cos(torch.pi * (2 * grid[None] + 1) * grid[:, None] / (2 * JPEG_BLOCK)) * (2.0 / JPEG_BLOCK) ** 0.5
    basis[0] /= 2.0**0.5
    rows, columns = height // JPEG_BLOCK, width // JPEG_BLOCK
    if rows * JPEG_BLOCK != height or columns * JPEG_BLOCK != width:
        return films
    blocks = films.reshape((count, channels, rows, JPEG_BLOCK, columns, JPEG_BLOCK)).transpose(3, 4)
    step = uniform(count, 0.01, 0.08, rng)[..., None, None] * (1.0 + grid[:, None] + grid[None]) / JPEG_BLOCK
    rounded = torch.round((basis @ blocks @ basis.T) / step) * step
    back = (basis.T @ rounded @ basis).transpose(3, 4).reshape(films.shape)
    chosen = uniform(count, 0.0, 1.0, rng) < chance
    return torch.where(chosen, back, films)


def erase(films: Tensor, chance: float, rng: torch.Generator) -> Tensor:
    """Cover one random rectangle of some films with a flat grey: tubes, letters and buttons are not evidence."""
    films = films.clone()
    height, width = films.shape[-2:]
    for index in range(len(films)):
        draw = torch.rand(6, generator=rng)
        if float(draw[0]) >= chance:
            continue
        tall = int(height * (0.04 + 0.26 * float(draw[1])))
        wide = int(width * (0.04 + 0.26 * float(draw[2])))
        top = int((height - tall) * float(draw[3]))
        left = int((width - wide) * float(draw[4]))
        films[index, :, top : top + tall, left : left + wide] = draw[5]
    return films
