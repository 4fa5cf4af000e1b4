"""From stored words to greys: the modality transform, the values-of-interest transform and, last, polarity.

PS3.3 C.11.1 (modality LUT or rescale), C.11.2 (window or VOI LUT) and C.7.6.3.1.2 (MONOCHROME1 shows its minimum as
white).  Up to 16 bits every step is composed into one table over the stored word: a film costs one look-up per pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
_ROWS_AT_A_TIME: Final = 32
_WEIGHTS: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Window:
    """A window in units of the modality transform's output (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    centre: float
    width: float
    function: WindowFunction = "LINEAR"

    @property
    def usable(self) -> bool:
        """Whether the window is valid: LINEAR needs a width of at least 1, the others a width above 0."""
        finite = math.isfinite(self.centre) and math.isfinite(self.width)
        return finite and (self.width >= 1 if self.function == "LINEAR" else self.width > 0)

    def apply(self, values: Floats) -> Floats:
        """Values → [0, 1]."""
        if self.function == "SIGMOID":
            exponent = np.clip(-4.0 * (values - self.centre) / self.width, -700.0, 700.0)
            return np.asarray(1.0 / (1.0 + np.exp(exponent)), dtype=np.float64)
        if self.function == "LINEAR_EXACT":
            return np.asarray(np.clip((values - self.centre) / self.width + 0.5, 0.0, 1.0))
        if self.width == 1:
            return (values > self.centre - 0.5).astype(np.float64)
        return np.asarray(np.clip((values - (self.centre - 0.5)) / (self.width - 1.0) + 0.5, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class LookUpTable:
    """A look-up table of a DICOM LUT sequence: *first* is the input that maps to entry 0 (PS3.3 C.11.1.1.1)."""

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def __post_init__(self) -> None:
        """Correct the depth: some machines declare 8 bits for 12-bit entries, so the entries decide."""
        object.__setattr__(self, "bits", max(self.bits, int(self.entries.max(initial=0)).bit_length()))

    def apply(self, values: Floats) -> Floats:
        """Values → entries; inputs outside the table take its first or last entry."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return np.asarray(self.entries[index], dtype=np.float64)

    @property
    def top(self) -> float:
        """The largest possible entry of the table."""
        return float(2**self.bits - 1)


@dataclass(frozen=True, slots=True)
class StoredWords:
    """The bit layout of a pixel's value in its word (PS3.5 8.1.1); bits above the high bit are overlays or garbage."""

    allocated: int
    stored: int
    high_bit: int
    signed: bool

    @property
    def value_range(self) -> tuple[int, int]:
        """The least and the greatest value that can be stored."""
        return (-(2 ** (self.stored - 1)), 2 ** (self.stored - 1) - 1) if self.signed else (0, 2**self.stored - 1)

    def values(self, words: NDArray[np.unsignedinteger[Any]]) -> Floats:
        """The values in unsigned *words* of as many bits as are allocated.

        The word is shifted up until the high bit is at the top, which drops the bits above, and then down to bit 0;
        for signed words this shift extends the sign.
        """
        above, unused = self.allocated - 1 - self.high_bit, self.allocated - self.stored
        moved: NDArray[Any] = words << above
        if self.signed:
            moved = moved.view(f"i{words.dtype.itemsize}")
        return np.asarray(moved >> unused, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Padding:
    """The stored values from *low* to *high*, which fill the frame where nothing was imaged (PS3.3 C.7.5.1.1.2)."""

    low: int
    high: int

    def covers(self, stored: Floats) -> NDArray[np.bool_]:
        """Which of the *stored* values are padding."""
        return (stored >= self.low) & (stored <= self.high)


@dataclass(frozen=True, slots=True)
class GreyScale:
    """All transforms between a stored value and the shown grey.  `inverted` is MONOCHROME1.

    `dropped`: the header's transforms cannot be read, so none is applied and the values have no unit.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality: LookUpTable | None = None
    voi: Window | LookUpTable | None = None
    inverted: bool = False
    dropped: bool = False

    @property
    def step(self) -> float:
        """The distance between two neighbouring modality values."""
        return 1.0 if self.modality is not None else abs(self.slope)

    def modality_values(self, stored: Floats) -> Floats:
        """Stored values → the modality transform's output (Hounsfield units for a CT)."""
        if self.modality is not None:
            return self.modality.apply(stored)
        return stored * self.slope + self.intercept

    def apply(self, stored: Floats) -> Floats:
        """Stored values → greys with polarity applied: [0, 1] with a window or VOI LUT, else modality values."""
        greys = self.modality_values(stored)
        if isinstance(self.voi, Window):
            greys = self.voi.apply(greys)
        elif self.voi is not None:
            greys = self.voi.apply(greys) / self.voi.top
        if not self.inverted:
            return greys
        return (1.0 - greys) if self.voi is not None else -greys

    def without_voi(self) -> GreyScale:
        """The same scale in full range, without a window."""
        return replace(self, voi=None)


def look_up(values: Floats, words: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.float32]:
    """*values* of every possible word, looked up for each of *words* (H, W) → float32 of the same shape."""
    return take_entries(values.astype(np.float32), words)


def take_entries(table: NDArray[Any], words: NDArray[Any]) -> NDArray[Any]:
    """The entry of *table* for each of *words* (H, W), of the same shape.

    A few rows at a time: numpy widens the indices to 64 bits first, and those of a whole film would not fit any cache.
    """
    values = np.empty(words.shape, table.dtype)
    for first in range(0, len(words), _ROWS_AT_A_TIME):
        rows = slice(first, first + _ROWS_AT_A_TIME)
        np.take(table, words[rows], mode="clip", out=values[rows])
    return values


def luminance(colour: NDArray[np.generic]) -> NDArray[np.float32]:
    """(H, W, 3) RGB → (H, W) float32 (ITU-R BT.601, the weights of JPEG's own Y), a few rows at a time as above."""
    greys = np.empty(colour.shape[:2], np.float32)
    for first in range(0, len(colour), _ROWS_AT_A_TIME):
        rows = slice(first, first + _ROWS_AT_A_TIME)
        np.matmul(colour[rows].astype(np.float32), _WEIGHTS, out=greys[rows])
    return greys
