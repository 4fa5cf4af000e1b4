"""A printed report as a person and as a program sees it: its words, its fonts, its pages as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pypdfium2
from numpy.typing import NDArray

from tests import peers

_FONT = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")


def need_font() -> None:
    """The Chinese font that an installed box has."""
    if not _FONT.is_file():
        peers.skip_missing_packages("fonts-noto-cjk")


def extract_text(pdf: bytes) -> str:
    """Every word on it, without the spaces and line ends between them."""
    document = pypdfium2.PdfDocument(pdf)
    return "".join("".join(page.get_textpage().get_text_range().split()) for page in document)


def count_pages(pdf: bytes) -> int:
    return len(pypdfium2.PdfDocument(pdf))


def render_page(pdf: bytes, page: int = 0, scale: float = 2.0) -> NDArray[np.uint8]:
    """(H, W) uint8: one page as a grey printer shows it."""
    return np.asarray(pypdfium2.PdfDocument(pdf)[page].render(scale=scale, grayscale=True).to_pil().convert("L"))
