"""One frame of a running examination, as an opened film, and the sector that is kept from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.display import ShownFrame
from firmware_app.imaging.film import Film
from firmware_app.imaging.grey.pipeline import luminance
from firmware_app.imaging.ultrasound import keyframes, sector
from firmware_app.imaging.ultrasound.sector import Sector

_LOOK_S: Final = 0.125


@dataclass(frozen=True, slots=True, eq=False)
class LiveFrame:
    """A `film.Film` of the one frame; `greys` is (H, W) float32, as `film.Film.grey`."""

    greys: NDArray[np.float32]
    display: ShownFrame
    black_and_white: tuple[float, float]
    padding: NDArray[np.bool_] | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    hints: tuple[str, ...] = ()

    @classmethod
    def of_pixels(cls, pixels: NDArray[np.uint8]) -> LiveFrame:
        """Of (H, W) or (H, W, 3) uint8."""
        greys = luminance(pixels) if pixels.ndim == 3 else pixels.astype(np.float32)
        return cls(greys, ShownFrame(pixels), (0.0, 255.0))

    @classmethod
    def of_film(cls, film: Film, index: int) -> LiveFrame:
        """Frame *index* of an opened file; raises `ImagingError`."""
        greys = film.grey(index)
        return cls(greys, film.shown(index), film.ends(index), film.hidden(index), hints=film.hints)

    @property
    def rows(self) -> int:
        return int(self.greys.shape[0])

    @property
    def columns(self) -> int:
        return int(self.greys.shape[1])

    @property
    def frames(self) -> int:
        """One."""
        return 1

    def hidden(self, _index: int) -> NDArray[np.bool_] | None:
        """As `film.Film.hidden`."""
        return self.padding

    def grey(self, _index: int) -> NDArray[np.float32]:
        """As `film.Film.grey`."""
        return self.greys

    def ends(self, _index: int) -> tuple[float, float]:
        """As `film.Film.ends`."""
        return self.black_and_white

    def aspect(self, _index: int) -> float:
        """As `film.Film.aspect`."""
        return self.display.aspect

    def shown(self, _index: int) -> ShownFrame:
        """As `film.Film.shown`."""
        return self.display


class KeptSector:
    """The sector of an examination: the header's, else found as in a clip (`sector.Watch`) every two seconds.

    The first frame's is found as in a still.  Frames of another size begin anew.
    """

    def __init__(self, stated: Sector | None) -> None:
        self._stated = stated
        self._found: Sector | None = None
        self._shape: tuple[int, ...] = ()
        self._watch, self._watched, self._looked = sector.Watch(), 0, 0.0

    def of(self, grey: NDArray[np.float32], at: float) -> Sector | None:
        """The sector of the frame *grey*, (H, W), that came *at* (monotonic seconds); None where none is found."""
        if self._stated is not None and self._stated.mask.shape == grey.shape:
            return self._stated
        if grey.shape != self._shape:
            self._shape, self._found = grey.shape, sector.of_still(grey)
            self._watch, self._watched = sector.Watch(), 0
        if at - self._looked >= _LOOK_S:
            self._watch.see(grey)
            self._watched, self._looked = self._watched + 1, at
            if self._watched == keyframes.MOST_WATCHED:
                self._found = self._watch.sector()
                self._watch, self._watched = sector.Watch(), 0
        return self._found
