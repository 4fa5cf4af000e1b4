"""Header text as it stands, and as what it may have been: consoles in China often write GBK and declare another set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

# How the bytes may have been decoded, and what they were.
_MISREADINGS: Final = (
    ("latin-1", "strict", "gb18030"),
    ("latin-1", "strict", "utf-8"),
    ("cp1252", "strict", "gb18030"),
    ("ascii", "surrogateescape", "gb18030"),
)


def readings(text: str) -> Iterator[str]:
    """*text* as it stands, and as what it may have been before it was decoded as Latin-1."""
    yield text
    if text.isascii():
        return
    for wrong, errors, right in _MISREADINGS:
        try:
            yield text.encode(wrong, errors).decode(right)
        except UnicodeError:
            continue
