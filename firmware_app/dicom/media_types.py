"""Media types in HTTP headers (RFC 9110 8.3.1), and which of its own the box answers in (12.5.1; PS3.18 8.7.5).

Names and types have no case.  A value with a slash has to be quoted, and most DICOMweb clients write
``type=application/dicom`` all the same; werkzeug's reader drops such a parameter, so it is not used here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.request import parse_http_list

MULTIPART: Final = "multipart/related"
_PARAMETER: Final = re.compile(r';\s*([^\s;=]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))')
_PAIR: Final = re.compile(r"\\(.)")  # RFC 9110 5.6.4
_SYNTAX: Final = "transfer-syntax"
_LOST_PLUS: Final = re.compile(r"(?<=\w) (?=\w)")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type, or a range of them, in small letters; its parameters by name."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The type of the parts of a multipart; some clients write the parameters of the parts into it."""
        return self.parameters.get("type", "").partition(";")[0].strip().lower()

    @property
    def weight(self) -> float:
        try:
            return float(self.parameters.get("q", "1"))
        except ValueError:
            return 1.0

    def holds(self, offer: MediaType) -> int:
        """How closely this range describes *offer*: 0 not at all, and the more the closer."""
        main = offer.name.partition("/")[0]
        closeness = {"*/*": 1, f"{main}/*": 2, offer.name: 3}.get(self.name, 0)
        if self.parameters.get(_SYNTAX, "*") not in ("*", offer.parameters.get(_SYNTAX)):
            return 0
        if offer.name != MULTIPART or self.root in ("", "*/*"):
            return closeness
        return closeness and {f"{offer.root.partition('/')[0]}/*": 4, offer.root: 5}.get(self.root, 0)


def parse_media_type(header: str) -> MediaType:
    """The media type in *header*; of a parameter that comes twice, the first."""
    name, _, _ = header.partition(";")
    found = _PARAMETER.findall(header)
    values = {key.lower(): _PAIR.sub(r"\1", quoted) or token.strip() for key, quoted, token in reversed(found)}
    return MediaType(name.strip().lower(), values)


def choose_media_type(offers: Sequence[MediaType], accept: str, asked: Sequence[str] = ()) -> MediaType | None:
    """The best of *offers* (the first where they are equal) for an Accept header and ``accept`` parameters *asked*.

    None where none is acceptable.  A parameter names what the client wants, and the header what it takes at all.
    """
    taken = _parse_ranges(accept) or [MediaType("*/*")]
    wanted = [parse_media_type(_LOST_PLUS.sub("+", one)) for text in asked for one in parse_http_list(text)]
    weights = [min(_range_weight(taken, offer), _range_weight(wanted, offer) if wanted else 1.0) for offer in offers]
    best = max(range(len(offers)), key=lambda number: weights[number])
    return offers[best] if weights[best] > 0 else None


def _parse_ranges(header: str) -> list[MediaType]:
    return [parse_media_type(one) for one in parse_http_list(header) if one]


def _range_weight(ranges: Sequence[MediaType], offer: MediaType) -> float:
    """The weight of the range that describes *offer* most closely (RFC 9110 12.5.1)."""
    closeness, weight = max((media_type.holds(offer), media_type.weight) for media_type in ranges)
    return weight if closeness else 0.0
