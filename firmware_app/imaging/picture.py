"""Pictures without a DICOM header (PNG, JPEG, TIFF, BMP, WebP), through Pillow, their size checked before decoding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from firmware_app.errors import FrameTooLarge, Undecodable
from firmware_app.imaging.display import Shown, greys
from firmware_app.imaging.grey import luminance
from firmware_app.imaging.source import BROKEN, LARGEST_FRAME_PX, LONGEST_SIDE_PX, MOST_FRAMES

FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
_TIFF_PHOTOMETRIC: Final = 262
_WHITE_IS_ZERO: Final = 0
# Pillow only warns, and at another size; `opened` refuses above LARGEST_FRAME_PX before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True)
class Picture:
    """An opened picture; a many-paged TIFF has as many frames."""

    image: Image.Image
    frames: int

    @property
    def rows(self) -> int:
        return self._turned()[1]

    @property
    def columns(self) -> int:
        return self._turned()[0]

    @property
    def identity(self) -> dict[str, str]:
        """A picture says nothing of the patient."""
        return {}

    @property
    def hints(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hidden(self, index: int) -> None:
        """No pixel: only a DICOM header names some."""

    def grey(self, index: int) -> NDArray[np.float32]:
        """(H, W) float32, as `film.Film.grey`."""
        pixels = self._pixels(index)
        if pixels.ndim == 3:
            return luminance(pixels)
        return np.nan_to_num(pixels.astype(np.float32), posinf=0.0, neginf=0.0)

    def shown(self, index: int) -> Shown:
        """As `film.Film.shown`; pictures carry no window."""
        pixels = self._pixels(index)
        if pixels.ndim == 3:
            return Shown(pixels.astype(np.uint8))
        values = np.nan_to_num(pixels.astype(np.float32), posinf=0.0, neginf=0.0)
        limits = (0.0, 255.0) if pixels.dtype == np.uint8 else None
        shown, slope, intercept = greys(values, 0.0 if pixels.dtype == np.float32 else 1.0, False, limits)
        return Shown(shown, slope, intercept)

    def _turned(self) -> tuple[int, int]:
        """Width and height after the EXIF orientation; values 5 to 8 lay the picture on its side."""
        width, height = self.image.size
        return (height, width) if self.image.getexif().get(0x0112, 1) in (5, 6, 7, 8) else (width, height)

    def _pixels(self, index: int) -> NDArray[np.generic]:
        """(H, W) or (H, W, 3), upright, with WhiteIsZero TIFFs of more than 8 bits turned (Pillow turns the rest)."""
        try:
            self.image.seek(index)
            _check_size(self.image)
            image = ImageOps.exif_transpose(self.image)
            if image.mode in ("1", "L", "LA"):
                return np.asarray(image.convert("L"))
            if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
                return np.asarray(image.convert("RGB"))
            pixels = np.asarray(image)
        except BROKEN as error:
            raise Undecodable(detail=f"the picture is broken, {type(error).__name__}") from None
        tags = getattr(self.image, "tag_v2", {})
        if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO and image.mode.startswith("I"):
            return np.asarray(pixels.max() - pixels)
        return pixels


@contextmanager
def opened(path: Path) -> Iterator[Picture]:
    """Open the picture at *path*; raises `FrameTooLarge` or `Undecodable`."""
    try:
        image = Image.open(path, formats=FORMATS)
    except BROKEN as error:
        raise Undecodable(detail=f"the picture is broken, {type(error).__name__}") from None
    with image:
        _check_size(image)
        try:
            frames = int(getattr(image, "n_frames", 1))
        except BROKEN as error:
            raise Undecodable(detail=f"the picture is broken, {type(error).__name__}") from None
        yield Picture(image, min(max(frames, 1), MOST_FRAMES))


def _check_size(image: Image.Image) -> None:
    if max(image.size) > LONGEST_SIDE_PX or image.width * image.height > LARGEST_FRAME_PX or 0 in image.size:
        raise FrameTooLarge(columns=image.width, rows=image.height)
