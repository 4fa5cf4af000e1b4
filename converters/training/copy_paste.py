"""Copy-paste augmentation: lesions of other films in training films, where the data set has outlines.

After Ghiasi et al. 2021 ("simple copy-paste"), with a feathered edge (Dwibedi et al. 2017) and the lesion's
surroundings brought to the grey of where it lands, so that neither a seam nor a brighter patch gives it away.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from converters.data.datasets import FilmSet
from converters.failures import DataUnreadable
from firmware_app.imaging.model_input import InputSpec

FEATHER = 1.0 / 56.0
"""Width of the seam, as a share of the film's side."""


@dataclass(frozen=True, slots=True)
class Lesions:
    """``masks`` (N, H, W) of the films that are seen, False all over where none is outlined; ``positive`` (N,)."""

    masks: NDArray[np.bool_]
    positive: NDArray[np.bool_]

    @property
    def donors(self) -> NDArray[np.int64]:
        """The films that have an outlined lesion."""
        return np.flatnonzero(self.masks.any(axis=(1, 2)))


def outline(films: FilmSet, spec: InputSpec, count: int) -> Lesions:
    """The outlines of ``films``, in their order, as they lie in the input; the rest of ``count`` films has none.

    Raises :class:`~converters.failures.DataUnreadable` where no film at all has one.
    """
    lesions = Lesions(np.zeros((count, *spec.shape), dtype=np.bool_), np.zeros(count, dtype=np.bool_))
    for row, film in enumerate(films.films):
        lesions.positive[row] = film.label == 1
        outline = film.outline_seen(spec)
        if outline is not None:
            lesions.masks[row] = outline
    if not len(lesions.donors):
        raise DataUnreadable(films.name, "no film has an outlined lesion that change.paste could take")
    return lesions


def paste(
    films: Tensor,
    index: NDArray[np.int64],
    seen: NDArray[np.uint8],
    lesions: Lesions,
    chance: float,
    rng: torch.Generator,
) -> tuple[Tensor, NDArray[np.int64]]:
    """A share ``chance`` of ``films`` (B, 1, H, W), rows ``index`` of ``seen``, with the lesion of another film in it.

    Beside them (B,): the row whose target each film now has.  A negative film with a positive lesion takes its donor's;
    a lesion takes nothing away, so every other film keeps its own.
    """
    out, labelled_as, donors = films.clone(), index.copy(), lesions.donors
    for place, row in enumerate(index):
        draw = torch.rand(4, generator=rng).tolist()
        donor = int(donors[min(int(draw[1] * len(donors)), len(donors) - 1)])
        if draw[0] >= chance or donor == row:
            continue
        patch = torch.from_numpy(seen[donor]).float() / 255.0
        out[place, 0] = blend(films[place, 0], patch, torch.from_numpy(lesions.masks[donor]), (draw[2], draw[3]))
        if lesions.positive[donor] and not lesions.positive[row]:
            labelled_as[place] = donor
    return out, labelled_as


def blend(film: Tensor, donor: Tensor, mask: Tensor, where: tuple[float, float]) -> Tensor:
    """``film`` (H, W) with the lesion ``mask`` of ``donor``; ``where``: how far down and right it lands, as shares."""
    soft = feather(mask)
    shift = [_move(soft.amax(dim=1 - side) > 0.0, share) for side, share in enumerate(where)]
    soft, donor, mask = (torch.roll(one, shift, dims=(0, 1)) for one in (soft, donor, mask))
    ring = (soft > 0.0) & ~mask
    lift = film[ring].mean() - donor[ring].mean() if bool(ring.any()) else 0.0
    return torch.lerp(film, (donor + lift).clamp(0.0, 1.0), soft)


def feather(mask: Tensor) -> Tensor:
    """(H, W) 1 inside the outline, falling to 0 around it: the lesion's own edge is evidence and is kept."""
    reach = max(1, round(len(mask) * FEATHER))
    wide = functional.max_pool2d(mask[None].float(), 2 * reach + 1, 1, reach)
    return functional.avg_pool2d(wide, 2 * reach + 1, 1, reach)[0].clamp(0.0, 1.0)


def _move(taken: Tensor, share: float) -> int:
    """How far to move what is ``taken`` of one side so that it starts at ``share`` of the room there is."""
    first, last = int(taken.nonzero()[0]), int(taken.nonzero()[-1])
    return int(share * (len(taken) - (last - first))) - first
