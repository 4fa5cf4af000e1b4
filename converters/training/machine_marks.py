"""What names the machine, changed at random: a network must not tell a hospital by it, nor by the hospital a label.

Films are batches (N, C, H, W) float32 in [0, 1]; each function gives a changed copy of the share of films that it is
told, and nothing in them moves. Borders, which do move a film, are part of :class:`converters.training.augment.Affine`.

Letters and drawn marks keep off what is ``spared``, (N, 1, H, W): a mark on a lesion would say where it lies.
"""

from typing import Final, Literal

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

COARSE: Final = 8
"""Local brightness and contrast are measured on every eighth pixel."""
LEAST_SPREAD: Final = 0.08
USUAL_SPREAD: Final = 0.18
"""The local standard deviation that local contrast leads to; an even place is not blown up beyond what lies between."""
WORDS: Final = ("L", "R", "L", "R", "AP", "PA", "ERECT", "SUPINE")
Mode = Literal["nearest", "bilinear", "bicubic"]
MODES: Final[tuple[Mode, ...]] = ("nearest", "bilinear", "bicubic")
TRIES: Final = 4
"""How often another place is looked for where a drawn mark would touch what is spared."""


def window(films: Tensor, most: float, rng: torch.Generator) -> Tensor:
    """Greys clipped at both ends of the range by up to ``most`` of it, as a window narrower than the film does."""
    low = _uniform(len(films), 0.0, most, rng) * _uniform(len(films), 0.0, 1.0, rng)
    high = 1.0 - _uniform(len(films), 0.0, most, rng) * _uniform(len(films), 0.0, 1.0, rng)
    return ((films - low) / (high - low).clamp(min=0.1)).clamp(0.0, 1.0)


def equalise(films: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Some films with their local contrast evened out, as machines do by themselves: each place less its surroundings'
    mean, over their spread (like CLAHE, Zuiderveld 1994), blended with the film."""
    side = 2 * int(torch.randint(1, 5, (1,), generator=rng)) + 1
    mean, square = _surroundings(films, side), _surroundings(films * films, side)
    spread = (square - mean * mean).clamp(min=0.0).sqrt()
    flat = (0.5 + (films - mean) / (spread + LEAST_SPREAD) * USUAL_SPREAD).clamp(0.0, 1.0)
    blended = films + (flat - films) * _uniform(len(films), 0.2, 0.8, rng)
    return torch.where(_choose(len(films), share, rng), blended, films)


def resample(films: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Some films down to 20 to 80 % of their side and back, with steps, smoothly or with overshoot, one way a batch."""
    factor = 0.2 + 0.6 * float(torch.rand(1, generator=rng))
    there, back = (MODES[int(torch.randint(0, len(MODES), (1,), generator=rng))] for _ in range(2))
    height, width = films.shape[-2:]
    small = _resize(films, (max(1, int(height * factor)), max(1, int(width * factor))), there)
    again = _resize(small, (height, width), back).clamp(0.0, 1.0)
    return torch.where(_choose(len(films), share, rng), again, films)


def sharpen(films: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Some films blurred (Gaussian) or sharpened (unsharp masking), at one scale a batch."""
    sigma = films.shape[-1] * (0.002 + 0.008 * float(torch.rand(1, generator=rng)))
    amount = _uniform(len(films), -1.0, 1.5, rng)
    changed = (films + (films - _gaussian(films, sigma)) * amount).clamp(0.0, 1.0)
    return torch.where(_choose(len(films), share, rng), changed, films)


def add_letters(films: Tensor, share: float, rng: torch.Generator, spared: Tensor | None = None) -> Tensor:
    """Some films with letters or digits burned in near their edge: white, or dark on a white plate."""
    films = films.clone()
    for number, film in enumerate(films):
        draw = torch.rand(8, generator=rng).tolist()
        if draw[0] >= share:
            continue
        text = WORDS[int(draw[1] * len(WORDS))] if draw[2] < 0.7 else str(int(draw[1] * 10 ** (1 + int(draw[2] * 8))))
        mark = torch.from_numpy(
            _print_text(text, max(6, int(film.shape[-2] * (0.04 + 0.06 * draw[3]))), film.shape[-2:])
        )
        height, width = mark.shape
        down, along = (film.shape[-2] - height), (film.shape[-1] - width)
        top = int(down * (0.25 * draw[4] if draw[5] < 0.5 else 1.0 - 0.25 * draw[4]))
        left = int(along * (0.25 * draw[6] if draw[7] < 0.5 else 1.0 - 0.25 * draw[6]))
        rows, columns = slice(top, top + height), slice(left, left + width)
        if spared is not None and bool(spared[number, :, rows, columns].any()):
            continue
        place = film[:, rows, columns]
        place.copy_(1.0 - mark if draw[3] < 0.2 else torch.maximum(place, mark * (0.7 + 0.3 * draw[1])))
    return films


def add_picture(films: Tensor, share: float, rng: torch.Generator, spared: Tensor | None = None) -> Tensor:
    """Some films with one to three marks of an ultrasound machine: body markers, calipers, rulers."""
    films = films.clone()
    for number, film in enumerate(films):
        if float(torch.rand(1, generator=rng)) >= share:
            continue
        draws = np.random.default_rng(int(torch.randint(2**31, (1,), generator=rng)))
        for _ in range(int(draws.integers(1, 4))):
            for _ in range(TRIES):
                mark = torch.from_numpy(_mark(film.shape[-2:], draws))
                if spared is None or not bool(spared[number, 0][mark > 0.0].any()):
                    film.copy_(torch.maximum(film, mark))
                    break
    return films


def _mark(size: torch.Size, draws: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """(H, W) in [0, 1], 0 where nothing is drawn: one mark at a random place."""
    height, width = size
    picture = Image.new("L", (width, height))
    kind = (_body_marker, _calipers, _ruler)[int(draws.integers(3))]
    kind(ImageDraw.Draw(picture), width, height, int(draws.integers(150, 256)), draws)
    return np.asarray(picture, dtype=np.float32) / np.float32(255.0)


def _body_marker(pen: ImageDraw.ImageDraw, width: int, height: int, grey: int, draws: np.random.Generator) -> None:
    """The outline of a breast or a trunk in a corner, with a bar for the probe."""
    side = min(width, height) * draws.uniform(0.08, 0.2)
    corner, room = draws.integers(0, 2, 2), np.array((width, height)) - side - 1.0
    x, y = room * (corner + (1 - 2 * corner) * draws.uniform(0.0, 0.1, 2))
    shape = pen.ellipse if draws.random() < 0.6 else pen.rectangle
    shape((x, y, x + side, y + side * draws.uniform(0.7, 1.0)), outline=grey)
    if draws.random() < 0.7:
        pen.ellipse((x + side * 0.42, y + side * 0.38, x + side * 0.58, y + side * 0.54), outline=grey)
    middle, angle = (x, y) + side * draws.uniform(0.2, 0.7, 2), draws.uniform(0.0, np.pi)
    along = side * draws.uniform(0.15, 0.3) * np.array((np.cos(angle), np.sin(angle)))
    pen.line((*(middle - along), *(middle + along)), grey, 2)


def _calipers(pen: ImageDraw.ImageDraw, width: int, height: int, grey: int, draws: np.random.Generator) -> None:
    """Two crosses at any distance, mostly with a dotted line between them."""
    ends = draws.uniform((3.0, 3.0), (width - 4.0, height - 4.0), (2, 2))
    reach, turned = draws.uniform(1.5, 4.5), draws.random() < 0.4
    for x, y in ends:
        for across, down in ((1, 1), (1, -1)) if turned else ((1, 0), (0, 1)):
            pen.line((x - reach * across, y - reach * down, x + reach * across, y + reach * down), grey)
    if draws.random() < 0.7:
        count = max(2, int(np.hypot(*(ends[1] - ends[0])) / draws.uniform(3.0, 6.0)))
        pen.point([tuple(ends[0] + (ends[1] - ends[0]) * step / count) for step in range(count)], grey)


def _ruler(pen: ImageDraw.ImageDraw, width: int, height: int, grey: int, draws: np.random.Generator) -> None:
    """Ticks along one side, every fifth a longer one."""
    apart, short = draws.uniform(4.0, 14.0), draws.uniform(1.0, 4.0)
    edge, inwards = (draws.uniform(0, 6), 1) if draws.random() < 0.5 else (width - 1 - draws.uniform(0, 6), -1)
    for number in range(int(height / apart)):
        long = short * (2 if number % 5 == 0 else 1)
        pen.line((edge, number * apart, edge + inwards * long, number * apart), grey)


def frames(count: int, share: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Where in its frame each film lies, (count, 4): x0, y0, x1, y1 as fractions; and the frame's grey, (count,): black
    or white. A film without a frame fills the whole."""
    margins = 0.15 * torch.rand(count, 4, generator=rng) * (torch.rand(count, 4, generator=rng) < 0.6)
    margins = margins * (torch.rand(count, 1, generator=rng) < share)
    frame = torch.cat([margins[:, :2], 1.0 - margins[:, 2:]], dim=1)
    return frame, (torch.rand(count, generator=rng) < 0.3).float()


def _print_text(text: str, size: int, most: torch.Size) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """(h, w) in [0, 1]: ``text`` as a picture, ``size`` pixels high or less, no larger than ``most``."""
    font = ImageFont.load_default(size=size)
    x0, y0, x1, y1 = font.getbbox(text)
    picture = Image.new("L", (max(1, int(x1 - x0)) + 2, max(1, int(y1 - y0)) + 2))
    ImageDraw.Draw(picture).text((1 - x0, 1 - y0), text, fill=255, font=font)
    greys = np.asarray(picture, dtype=np.float32) / np.float32(255.0)
    return greys[: most[0], : most[1]]


def _surroundings(films: Tensor, side: int) -> Tensor:
    """The mean around each pixel, over ``side`` coarse cells."""
    height, width = films.shape[-2:]
    coarse = functional.adaptive_avg_pool2d(films, (max(1, height // COARSE), max(1, width // COARSE)))
    smooth = functional.avg_pool2d(coarse, side, stride=1, padding=side // 2, count_include_pad=False)
    return functional.interpolate(smooth, (height, width), mode="bilinear", align_corners=False)


def _resize(films: Tensor, size: tuple[int, int], mode: Mode) -> Tensor:
    return functional.interpolate(films, size, mode=mode, align_corners=None if mode == "nearest" else False)


def _gaussian(films: Tensor, sigma: float) -> Tensor:
    reach = max(1, round(3.0 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=films.dtype) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = films.flatten(0, 1)[:, None]
    flat = functional.conv2d(functional.pad(flat, (reach, reach, 0, 0), mode="replicate"), kernel[None, None, None])
    flat = functional.conv2d(functional.pad(flat, (0, 0, reach, reach), mode="replicate"), kernel[None, None, :, None])
    return flat[:, 0].reshape(films.shape)


def _choose(count: int, share: float, rng: torch.Generator) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=rng) < share


def _uniform(count: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=rng) * (high - low) + low
