"""Our own reader of the DICOM element stream (PS3.5 7): it checks that an object is complete before it is acknowledged.

pydicom read 39 of 39 truncated copies of a CT without an error, so completeness is decided here: every length is
checked against the bytes present, and every sequence and fragment list must reach its end.  Nothing is decoded and only
the places of what a caller asks for are kept, of at most `ITEMS_KEPT` items of sequences, so a hostile object costs
neither memory nor recursion.

Where real devices break the rules but no byte is missing, the reader follows their intention: implicit elements
inside an explicit data set, odd lengths, unknown VRs, UN of undefined length (PS3.5 6.2.2), zero padding at the end.
Bytes behind a complete data set that cannot be the beginning of an element are not part of it; a cut element is.
A sequence of defined length that nothing but its tag shows to be one is opened only where a caller asks for it, and
passed over where it turns out to be none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Literal

from firmware_app.dicom.data_elements import (
    BIG,
    IMPLICIT_LITTLE,
    LITTLE,
    LONG_VRS,
    PIXEL_DATA,
    SHORT_VRS,
    Buffer,
    Element,
    Encoding,
    tag_name,
)
from firmware_app.dicom.errors import IntakeError, Malformed, NestedTooDeep, Truncated

DEPTH_LIMIT: Final = 32
ELEMENT_LIMIT: Final = 1_000_000
"""About half a second of work.  An item or a fragment counts as four elements, because it costs that much."""
_ITEM_ELEMENTS: Final = 4
ITEMS_KEPT: Final = 256
"""Items of which a caller learns what they hold; those after them are checked like everything else, and not kept."""

_PIXELS: Final = 0x7FE00000
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_TRAILING_PADDING = 0xFFFCFFFC
_BEHIND_ALL = (0xFFFA, 0xFFFC)  # Digital Signatures Sequence, Data Set Trailing Padding
_LAST_GROUP = 0x7FFF  # of all others; private groups of the pixels reach to it
_UNDEFINED = 0xFFFFFFFF
_NO_LENGTH = 1 << 28  # four letters are more, and no element behind the pixels is so long

_FRAGMENTED_VRS = frozenset((b"OB", b"OW"))
_OPAQUE = (b"", b"UN")  # of an implicit element, and of one whose VR a router did not know


@dataclass(slots=True)
class Item:
    """One item of a sequence that was asked for: `path`, the tags of the sequences it lies in, the outermost first; the
    item around it, None for the data set itself; its own wanted elements by tag."""

    path: tuple[int, ...]
    around: Item | None
    elements: dict[int, Element] = field(default_factory=dict)


@dataclass(slots=True)
class Walk:
    """The result of a walk over a whole data set: the wanted top-level elements by tag, the items of the wanted
    sequences in the order of the file, and where the data set ends.

    `is_followed`: other bytes than zeros follow it.
    """

    encoding: Encoding
    elements: dict[int, Element] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    end: int = 0
    is_followed: bool = False


@dataclass(frozen=True, slots=True)
class _Level:
    """One open container.  `limit` is the nearest known end; `closed_by_limit`: it is the end of this very level.

    `path`: the tags of the sequences to here, where all of them were asked for, else None; `item`: the one that this
    level is, or that the sequence lies in.  `by_tag`: only its tag says that this is a sequence.
    """

    is_sequence: bool
    limit: int
    closed_by_limit: bool
    encoding: Encoding
    path: tuple[int, ...] | None = None
    item: Item | None = None
    by_tag: bool = False


def walk_data_set(
    data: Buffer,
    start: int,
    encoding: Encoding,
    wanted: Collection[int],
    sequences: Collection[int] = (),
    completing: Collection[int] = (),
    *,
    into: Walk | None = None,
    most_items: int = ITEMS_KEPT,
) -> Walk:
    """Walk the data set in *data* from *start* to its end, and return where the *wanted* elements lie: those of the
    data set itself, and those in the items of *sequences*, also of one such sequence in another.

    *completing*: after one of these the data set may be complete, so that other bytes may follow it.
    Raises `Truncated`, `Malformed` or `NestedTooDeep`; *into* then holds what was read before.
    """
    return _Walker(data, into or Walk(encoding), wanted, sequences, completing, most_items=most_items).run(start)


class _Walker:
    """The state of one walk: iterative, so that depth costs a list entry and not the interpreter's stack."""

    def __init__(
        self,
        data: Buffer,
        walk: Walk,
        wanted: Collection[int],
        sequences: Collection[int],
        completing: Collection[int],
        most_items: int,
    ) -> None:
        self.data = data
        self.end = len(data)
        self.wanted, self.sequences, self.completing, self.most_items = wanted, sequences, completing, most_items
        self.complete = False
        self.begun = 0  # where the last top-level element begins, or what follows the data set
        self.padding = self.end  # where zeros begin that reach to the end
        self.passed = self.highest = 0  # the tag of the top-level element before it, and the highest before that
        self.walk = walk
        self.stack: list[_Level] = []
        self.level = _Level(is_sequence=False, limit=self.end, closed_by_limit=True, encoding=walk.encoding, path=())
        self.count = 0

    def run(self, position: int) -> Walk:
        try:
            self.walk.end = self._run(position)
        except (Truncated, Malformed, NestedTooDeep):
            if not self.complete or self.count > ELEMENT_LIMIT or self._is_element():
                raise
            self.walk.end, self.walk.is_followed = self.begun, True
        return self.walk

    def _is_element(self) -> bool:
        """Whether what could not be read to its end is an element of the data set, and so its end is missing.

        It has a higher tag than all before it (PS3.5 7.1) and a VR of the standard, or a possible length.
        """
        head, encoding = self.data[self.begun : self.begun + 8], self.walk.encoding
        order: Literal["big", "little"] = "big" if encoding.big_endian else "little"
        group, number = int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order)
        tag = group << 16 | number
        if len(head) < 4:  # behind pixels seldom anything follows, behind the content of a report something may
            return self.highest < _PIXELS
        if tag <= self.highest or (group > _LAST_GROUP and group not in _BEHIND_ALL):
            return False
        if encoding.explicit and len(head) >= 6:
            return head[4:6] in SHORT_VRS or head[4:6] in LONG_VRS
        length = int.from_bytes(head[4:], order)
        return length < _NO_LENGTH or length == _UNDEFINED

    def _run(self, position: int) -> int:
        while True:
            level = self.level
            try:
                if not level.is_sequence:
                    position = self._elements(position)
                if self.level is level and level.is_sequence:
                    position = self._item(position)
                elif self.level is level and not self.stack:
                    return min(position, self.padding)
            except (Truncated, Malformed, NestedTooDeep) as error:
                position = self._skip_false_sequence(error)

    def _skip_false_sequence(self, error: IntakeError) -> int:
        """The end of the innermost value that only its tag made a sequence, and that is none; raises *error* where
        there is no such value."""
        levels = [*self.stack, self.level]
        none = next((at for at in range(len(levels) - 1, 0, -1) if levels[at].by_tag), None)
        if none is None or self.count > ELEMENT_LIMIT:
            raise error
        self.level, self.stack = levels[none - 1], levels[: none - 1]
        return levels[none].limit

    def _elements(self, position: int) -> int:
        """Pass the plain elements of the current data set or item, until a container opens or this one closes."""
        level, data, wanted, top = self.level, self.data, self.wanted, not self.stack
        kept = level.item.elements if level.item is not None else None
        limit, explicit = level.limit, level.encoding.explicit
        layout = BIG if level.encoding.big_endian else LITTLE
        read_explicit, read_implicit, read_length = (
            layout.explicit.unpack_from,
            layout.implicit.unpack_from,
            layout.length.unpack_from,
        )
        while position != limit or not level.closed_by_limit:
            if top:
                self._end_top_element(position)
            if limit - position < 8:
                if top and _is_zero(data, position, limit):
                    self.padding = position
                    return limit
                raise self._length_error(limit, tag_name(_TRAILING_PADDING))
            self._count()
            group, number, length = read_implicit(data, position)
            value = position + 8
            tag = group << 16 | number
            vr = b""
            if group == 0xFFFE:
                return self._delimiter(tag, position)
            if explicit:
                _, _, vr, short = read_explicit(data, position)
                if vr in SHORT_VRS:
                    length = short
                elif vr in LONG_VRS or (vr.isalpha() and vr.isupper()):
                    # PS3.5 7.1.2: a VR unknown to this version of the standard has the long form.
                    if limit - position < 12:
                        raise self._length_error(limit, tag_name(tag))
                    length = read_length(data, value)[0]
                    value += 4
                else:
                    vr = b""  # an implicit element inside an explicit data set, as some devices write
            if length == _UNDEFINED:
                position, fragments = self._read_undefined_length(tag, vr, value)
                if top:
                    self._record_element(Element(tag, value, position - value, fragments))
                if self.level is not level:
                    return position
                continue
            position = value + length
            if position > limit:
                raise self._length_error(limit, tag_name(tag), position)
            if top:
                if group == 0:
                    if _is_zero(data, self.begun, limit):
                        self.padding = self.begun
                        return limit
                    raise Malformed(where=tag_name(tag))  # group 0000 is for commands (PS3.7 E), never in data sets
                self._record_element(Element(tag, value, length))
            elif kept is not None and tag in wanted:
                kept[tag] = Element(tag, value, length)
            if length and (vr == b"SQ" or (vr in _OPAQUE and self._is_sequence(tag, value, vr))):
                inner = IMPLICIT_LITTLE if vr == b"UN" else level.encoding  # PS3.5 6.2.2 note on VR UN
                if explicit and not vr:
                    inner = Encoding(explicit=False, big_endian=level.encoding.big_endian)
                self._open(_Level(True, position, True, inner, *self._find_sequence_path(tag), by_tag=vr != b"SQ"))
                return value
        if self.stack:
            self.level = self.stack.pop()
        return position

    def _end_top_element(self, position: int) -> None:
        """The top-level element before *position* has been read to its end."""
        self.begun = position
        self.highest = max(self.highest, self.passed)
        self.complete = self.complete or self.passed in self.completing

    def _record_element(self, element: Element) -> None:
        """A top-level element lies here; what follows a complete data set says nothing new of what it has."""
        self.passed = element.tag
        if element.tag in self.wanted and not (self.complete and element.tag in self.walk.elements):
            self.walk.elements[element.tag] = element

    def _find_sequence_path(self, tag: int) -> tuple[tuple[int, ...] | None, Item | None]:
        """Path and item of a sequence that opens here; (None, None) where nobody asked for it."""
        is_asked = tag in self.sequences and not self.complete
        if self.level.path is None or not is_asked or len(self.walk.items) >= self.most_items:
            return None, None
        return (*self.level.path, tag), self.level.item

    def _is_sequence(self, tag: int, value: int, vr: bytes) -> bool:
        """Whether a value of defined length without the VR of a sequence is one that was asked for."""
        if self._find_sequence_path(tag)[0] is None:
            return False
        order: Literal["big", "little"] = "big" if self.level.encoding.big_endian and vr != b"UN" else "little"
        first = self.data[value : value + 4]
        return int.from_bytes(first[:2], order) == _ITEM >> 16 and int.from_bytes(first[2:], order) == _ITEM & 0xFFFF

    def _read_undefined_length(self, tag: int, vr: bytes, value: int) -> tuple[int, tuple[tuple[int, int], ...] | None]:
        """An element of undefined length: fragments (PS3.5 A.4), a sequence, or UN that holds an implicit one."""
        encoding = self.level.encoding
        if tag == PIXEL_DATA or vr in _FRAGMENTED_VRS:
            return self._fragments(tag, value)
        if vr == b"SQ" or vr == b"":
            inner = encoding if vr else Encoding(explicit=False, big_endian=encoding.big_endian)
        elif vr == b"UN":
            inner = IMPLICIT_LITTLE  # PS3.5 6.2.2 note on VR UN: always Implicit VR Little Endian
        else:
            raise Malformed(where=tag_name(tag))
        self._open(_Level(True, self.level.limit, False, inner, *self._find_sequence_path(tag)))
        return value, None

    def _fragments(self, tag: int, position: int) -> tuple[int, tuple[tuple[int, int], ...]]:
        """The items of an encapsulated value up to its delimiter; the first is the offset table."""
        read = (BIG if self.level.encoding.big_endian else LITTLE).implicit.unpack_from
        limit = self.level.limit
        spans: list[tuple[int, int]] = []
        while True:
            if limit - position < 8:
                raise self._length_error(limit, tag_name(tag))
            self._count(_ITEM_ELEMENTS)
            group, number, length = read(self.data, position)
            position += 8
            if (group << 16 | number) == _SEQUENCE_END:
                return position, tuple(spans)
            if (group << 16 | number) != _ITEM or length == _UNDEFINED:
                raise Malformed(where=tag_name(tag))
            spans.append((position, length))
            position += length
            if position > limit:
                raise self._length_error(limit, tag_name(tag), position)

    def _item(self, position: int) -> int:
        """The next item of the current sequence, or its end."""
        level = self.level
        if position == level.limit and level.closed_by_limit:
            self.level = self.stack.pop()
            return position
        if level.limit - position < 8:
            raise self._length_error(level.limit, tag_name(_SEQUENCE_END))
        self._count(_ITEM_ELEMENTS)
        layout = BIG if level.encoding.big_endian else LITTLE
        group, number, length = layout.implicit.unpack_from(self.data, position)
        tag = group << 16 | number
        position += 8
        if tag == _SEQUENCE_END and (not level.closed_by_limit or position == level.limit):
            # Some writers end a sequence of defined length with a delimiter as well.
            self.level = self.stack.pop()
            return position
        if tag != _ITEM:
            raise Malformed(where=tag_name(tag))
        kept = self._add_item(level)
        path = kept.path if kept is not None else None
        is_open_ended = length == _UNDEFINED
        end = level.limit if is_open_ended else position + length
        if end > level.limit:
            raise self._length_error(level.limit, tag_name(_ITEM), end)
        self._open(_Level(False, end, not is_open_ended, level.encoding, path=path, item=kept))
        return position

    def _add_item(self, level: _Level) -> Item | None:
        """A new item of the sequence *level*, where it was asked for and there is room."""
        if level.path is None or len(self.walk.items) >= self.most_items:
            return None
        item = Item(level.path, level.item)
        self.walk.items.append(item)
        return item

    def _delimiter(self, tag: int, position: int) -> int:
        """A delimiter among elements: the end of an item of undefined length, or a stray one."""
        position += 8
        if tag == _ITEM_END and self.stack and (not self.level.closed_by_limit or position == self.level.limit):
            self.level = self.stack.pop()
            return position
        raise Malformed(where=tag_name(tag))

    def _open(self, level: _Level) -> None:
        if len(self.stack) >= DEPTH_LIMIT:
            raise NestedTooDeep(limit=DEPTH_LIMIT)
        self.stack.append(self.level)
        self.level = level

    def _count(self, elements: int = 1) -> None:
        self.count += elements
        if self.count > ELEMENT_LIMIT:
            raise Malformed(where=f"{ELEMENT_LIMIT} elements")

    def _length_error(self, limit: int, where: str, needed: int | None = None) -> Truncated | Malformed:
        """The error for bytes beyond the file (something is missing) or beyond a container (lengths contradict)."""
        if limit == self.end or (needed is not None and needed > self.end):
            return Truncated(where=where)
        return Malformed(where=where)


def _is_zero(data: Buffer, start: int, end: int) -> bool:
    """Whether only zeros follow.  Read in pieces, because a file may be padded by megabytes."""
    while start < end:
        piece = data[start : min(start + 65536, end)]
        if piece.count(0) != len(piece):
            return False
        start += len(piece)
    return True
