"""Mutations that keep an object readable up to the place that they touch.

A flipped byte mostly breaks a length and is refused at once.  So half of the mutations take one element or fragment,
change its value and write its length anew; the rest are libFuzzer's own, which know nothing of DICOM.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from struct import pack, unpack_from
from typing import Final

from firmware_app.dicom.data_elements import LONG_VRS, SHORT_VRS

Bend = Callable[[bytes, int], bytes]
"""libFuzzer's own mutation of some bytes to at most so many."""

_LONG: Final = re.compile(rb"[\x02-\xfe]\x00..(?:" + b"|".join(sorted(LONG_VRS)) + rb")\0\0(....)", re.DOTALL)
_SHORT: Final = re.compile(rb"[\x02-\xfe]\x00..(?:" + b"|".join(sorted(SHORT_VRS)) + rb")(..)", re.DOTALL)
_ITEM: Final = re.compile(rb"\xfe\xff\x00\xe0(....)", re.DOTALL)
_NUMBERS: Final = (0, 1, 2, 3, 7, 8, 9, 12, 16, 17, 24, 32, 64, 127, 255, 256, 4096, 32767, 32768, 65534, 65535)


def mutate(data: bytes, most: int, seed: int, bend: Bend) -> bytes:
    """*data* changed in one place, of at most *most* bytes."""
    chance = random.Random(seed)
    places = [match for shape in (_SHORT, _LONG, _ITEM) for match in shape.finditer(data)]
    if not places or chance.random() < 0.5:
        return bend(data, most)[:most]
    place = chance.choice(places)
    start, end = place.start(), place.end()
    width = len(place[1])
    [length] = unpack_from("<H" if width == 2 else "<L", place[1])
    if end + length > len(data):
        return bend(data, most)[:most]
    element = data[start : end + length]
    kind = chance.randrange(6)
    if kind == 0:
        return (data[:start] + data[end + length :])[:most]
    if kind == 1:
        return (data[:start] + element + data[start:])[:most]
    if kind == 2 and len(places) > 1:
        other = chance.choice(places).start()
        return (data[:other] + element + data[other:])[:most]
    value = data[end : end + length]
    if kind == 3 and length in (2, 4):
        value = pack("<H", chance.choice(_NUMBERS)) + value[2:]
    else:
        value = bend(value or b"\0", max(2, min(most - len(data) + length, 0xFFFF if width == 2 else most)))
    value += b"\0" * (len(value) % 2)
    head = data[start : end - width] + pack("<H" if width == 2 else "<L", len(value) & (1 << 8 * width) - 1)
    return (data[:start] + head + value + data[end + length :])[:most]
