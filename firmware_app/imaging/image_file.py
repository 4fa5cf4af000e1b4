"""The frames of one image file, one at a time: the only way from bytes to pixels.

`open_image_file` gives a `ImageFile` for a DICOM object in any transfer syntax, a picture or a clip.  It gives each
frame in the two forms that the box needs: `grey(i)` for a model, `shown(i)` for a person.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.errors import Undecodable
from firmware_app.imaging import clip, dicom_image, picture
from firmware_app.imaging.display import DisplayFrame


class ImageFile(Protocol):
    """An opened image file."""

    @property
    def rows(self) -> int: ...

    @property
    def columns(self) -> int: ...

    @property
    def frames(self) -> int: ...

    @property
    def identity(self) -> Mapping[str, str]:
        """The patient data in the file (`firmware_app.dicom.patient_data`); empty for a picture."""

    @property
    def hints(self) -> tuple[str, ...]:
        """Codes of hints for a doctor on how the frames decoded so far were made."""

    def read_padding_mask(self, index: int) -> NDArray[np.bool_] | None:
        """(H, W) bool, true where the header declares padding in frame *index*; None where it declares none."""

    def grey(self, index: int) -> NDArray[np.float32]:
        """Frame *index* for a model: (H, W) float32, bright is dense, any range, finite; padding is darkest."""

    def read_grey_limits(self, index: int) -> tuple[float, float]:
        """The values of `grey` that are black and white in this file: of its bit depth, its window or, where it has
        neither, of the frame itself."""

    def aspect(self, index: int) -> float:
        """The height of a pixel of frame *index* over its width; `grey` has the pixels of the file all the same."""

    def render_frame(self, index: int) -> DisplayFrame:
        """Frame *index* for a person."""


def _open_headerless(path: Path) -> AbstractContextManager[ImageFile]:
    """A clip or a picture, by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise Undecodable(detail=f"its file cannot be read: {error.strerror}") from None
    return clip.open_clip(path) if clip.is_clip(head) else picture.open_picture(path)


@contextmanager
def open_image_file(path: Path, *, is_picture: bool) -> Iterator[ImageFile]:
    """Open the file at *path*; raises `ImagingError`, also later while frames are decoded.

    The libraries' warnings are silenced, because they quote header values, which may be a patient's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if is_picture:
            with _open_headerless(path) as picture_film:
                yield picture_film
        else:
            with dicom_image.open_dicom_image(path) as film:
                yield film
