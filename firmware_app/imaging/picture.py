"""Pictures without a DICOM header (PNG, JPEG, TIFF, BMP, WebP), through Pillow, their size checked before decoding.

A JPEG is its first picture: what phones put behind it (MPO, CIPA DC-007: a smaller copy, a map of depth) is no frame.
Of a TIFF the pages count, but for those that it calls smaller copies or masks of others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from firmware_app.errors import FrameTooLarge, PixelsUnsupported, Undecodable
from firmware_app.imaging import codestream, jpeg8
from firmware_app.imaging.display import Shown, greys
from firmware_app.imaging.grey import luminance
from firmware_app.imaging.source import BROKEN, LARGEST_FRAME_PX, LONGEST_SIDE_PX, MOST_FRAMES

FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
MOST_PAGES: Final = 1_000
"""Of a TIFF, whose directories Pillow reads one after the other."""
_TIFF_NEW_SUBFILE_TYPE, _TIFF_SUBFILE_TYPE, _TIFF_PHOTOMETRIC = 254, 255, 262
_SMALLER_COPY_OR_MASK: Final = 0b101  # bits of the first (TIFF 6.0, section 8)
_SMALLER_COPY: Final = 2  # of the second, which is older
_JPEG_HEAD: Final = b"\xff\xd8\xff"
_WHITE_IS_ZERO: Final = 0
# Pillow only warns, and at another size; `opened` refuses above LARGEST_FRAME_PX before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True)
class Picture:
    """An opened picture, whose frames are its `pages`, by their numbers in the file."""

    image: Image.Image
    pages: tuple[int, ...] = (0,)
    alike: bool = True
    """Whether all pages are of one size and kind, as the frames of a clip are."""

    @property
    def frames(self) -> int:
        return len(self.pages)

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
        if self.image.format == "TIFF":  # whose size Pillow has turned already
            return width, height
        try:  # the EXIF block of a PNG may stand behind its pixels, which this then decodes
            on_its_side = self.image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        except BROKEN:
            raise Undecodable(detail="the picture is broken") from None
        return (height, width) if on_its_side else (width, height)

    def _pixels(self, index: int) -> NDArray[np.generic]:
        """(H, W) or (H, W, 3), upright, with WhiteIsZero TIFFs of more than 8 bits turned (Pillow turns the rest)."""
        try:
            self.image.seek(self.pages[index])
            _check_size(self.image)
            image = ImageOps.exif_transpose(self.image)
            if image.mode in ("1", "L", "LA"):
                return np.asarray(image.convert("L"))
            if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
                return np.asarray(image.convert("RGB"))
            pixels = np.asarray(image)
        except BROKEN:
            raise Undecodable(detail="the picture is broken") from None
        tags = getattr(self.image, "tag_v2", {})
        if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO and image.mode.startswith("I"):
            return np.asarray(pixels.max() - pixels)
        return pixels


@contextmanager
def opened(path: Path) -> Iterator[Picture]:
    """Open the picture at *path*; raises `FrameTooLarge` or `Undecodable`."""
    with ExitStack() as open_files:
        try:  # as a file: a path lets Pillow map an uncompressed TIFF, and one laid on its side by its turned size
            file = open_files.enter_context(path.open("rb"))
            image = open_files.enter_context(_begun(file))
        except BROKEN:
            raise Undecodable(detail="the picture is broken") from None
        _check_size(image)
        _check_work(path, image)
        try:
            found = _of_pages(image)
        except BROKEN:
            raise Undecodable(detail="the picture is broken") from None
        yield found


def _begun(file: BinaryIO) -> Image.Image:
    """The picture in *file*, its header read.  Pillow itself would take a JPEG with others behind it for a clip."""
    is_jpeg = file.read(len(_JPEG_HEAD)) == _JPEG_HEAD
    file.seek(0)
    return JpegImageFile(file) if is_jpeg else Image.open(file, formats=FORMATS)


def _of_pages(image: Image.Image) -> Picture:
    """*image* with the pages that are films of their own, at the first of them."""
    count = min(max(int(getattr(image, "n_frames", 1)), 1), MOST_FRAMES)
    if image.format != "TIFF" or count == 1:
        return Picture(image, tuple(range(count)))
    kept, kinds = [], set()
    for page in range(count):
        image.seek(page)
        tags = getattr(image, "tag_v2", {})
        if tags.get(_TIFF_NEW_SUBFILE_TYPE, 0) & _SMALLER_COPY_OR_MASK or tags.get(_TIFF_SUBFILE_TYPE) == _SMALLER_COPY:
            continue
        kept.append(page)
        kinds.add((image.size, image.mode))
    pages = tuple(kept or range(count))
    image.seek(pages[0])
    return Picture(image, pages, alike=len(kinds) == 1)


def _check_work(path: Path, image: Image.Image) -> None:
    """Refuse what a decoder would take minutes for, before it begins, and a JPEG that lost coded data."""
    if image.format == "JPEG":
        stream = path.read_bytes()
        codestream.check_work(stream, image.height, image.width)
        try:
            jpeg8.check(stream)
        except BROKEN:
            raise Undecodable(detail="the picture is broken") from None
    elif image.format == "TIFF" and _pages(path) > MOST_PAGES:
        raise PixelsUnsupported(detail=f"more than {MOST_PAGES} pages")


def _pages(path: Path) -> int:
    """How many directories a TIFF (6.0, section 2) has, at most one more than `MOST_PAGES`."""
    with path.open("rb") as file:
        order: Literal["little", "big"] = "little" if file.read(2) == b"II" else "big"
        file.seek(4)
        pages, at = 0, int.from_bytes(file.read(4), order)
        while at and pages <= MOST_PAGES:
            file.seek(at)
            pages += 1
            file.seek(12 * int.from_bytes(file.read(2), order), os.SEEK_CUR)
            at = int.from_bytes(file.read(4), order)
    return pages


def _check_size(image: Image.Image) -> None:
    if max(image.size) > LONGEST_SIDE_PX or image.width * image.height > LARGEST_FRAME_PX or 0 in image.size:
        raise FrameTooLarge(columns=image.width, rows=image.height)
