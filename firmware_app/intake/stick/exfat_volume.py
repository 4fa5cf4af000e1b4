"""The numbers of an exFAT volume, its chains of clusters and its map of those in use.

Microsoft: exFAT file system specification, 2019.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from
from typing import Final

from firmware_app.intake.stick.medium import Damage, Medium, Unknown

MOST_FOLDER: Final = 256 << 20
"""Bytes of one folder (section 7.6.6)."""
_PIECE: Final = 1 << 16
_PAGE: Final = 1 << 12
_MOST_CLUSTERS: Final = 1 << 26  # 8 TiB of Windows' own clusters; a map of them takes 8 MiB
_LAST: Final = 0xFFFFFFFF
_LOOK_AT_CLOCK: Final = 1 << 14
_DIRTY: Final = 2
_NOT_ZERO: Final = re.compile(rb"[^\0]")


@dataclass(frozen=True, slots=True)
class Extent:
    """Where something lies: its first cluster, its bytes, and whether it lies in one piece, without a chain."""

    first: int
    size: int
    is_straight: bool = False


class Volume:
    """The numbers of a volume.  Of its table of clusters one page at a time is held."""

    def __init__(self, medium: Medium) -> None:
        boot = medium.read(0, 512)
        table, length, heap, count, root, _, _, flags = unpack_from("<LLLLLLHH", boot, 80)
        sector, per_cluster, copies = boot[108:111]
        if boot[3:11] != b"EXFAT   " or not 9 <= sector <= 12 or sector + per_cluster > 25 or copies not in (1, 2):
            raise Unknown
        self.active = flags & 1 if copies == 2 else 0
        self.is_clean = not flags & _DIRTY
        """Whether whoever wrote last has also finished (3.1.13.2)."""
        self.medium, self.cluster = medium, 1 << (sector + per_cluster)
        self.root = int(root)
        self.end = min(int(count) + 2, (int(length) << sector) // 4)
        """The number behind the last cluster's."""
        if self.end > _MOST_CLUSTERS:
            raise Unknown
        self._table, self._heap = (int(table) + self.active * length) << sector, int(heap) << sector
        self._page_at, self._page, self._steps = -1, b"", 0

    def is_cluster(self, number: int) -> bool:
        return 2 <= number < self.end

    def chain(self, first: int) -> Iterator[int]:
        """The clusters of a chain in order; raises `Damage` where it leads to none.  A ring has no end here."""
        number = first
        while number != _LAST:
            self._steps += 1
            if self._steps % _LOOK_AT_CLOCK == 0:
                self.medium.require_time()
            if not self.is_cluster(number):  # free, bad, or beyond the medium
                raise Damage
            yield number
            number = self._after(number)

    def clusters(self, extent: Extent) -> Iterator[int]:
        """The clusters of *extent* in order; raises `Damage` where there are fewer than its size needs."""
        count, number = -(-extent.size // self.cluster), extent.first
        if extent.is_straight:
            if count and not (self.is_cluster(number) and number + count <= self.end):
                raise Damage
            yield from range(number, number + count)
            return
        chain = self.chain(number)
        for _ in range(count):
            following = next(chain, None)
            if following is None:
                raise Damage
            yield following

    def ends(self, number: int) -> bool:
        """Whether a chain ends with this cluster."""
        return self._after(number) == _LAST

    def pieces(self, number: int) -> Iterator[bytes]:
        """What stands in a cluster, which may have 32 MiB."""
        at, size = self.place(number), min(self.cluster, _PIECE)
        for start in range(0, self.cluster, size):
            yield self.medium.read(at + start, size)

    def place(self, number: int) -> int:
        """Where the bytes of a cluster begin."""
        return self._heap + (number - 2) * self.cluster

    def _after(self, number: int) -> int:
        page, at = divmod(number * 4, _PAGE)
        if page != self._page_at:
            self._page, self._page_at = self.medium.read(self._table + page * _PAGE, _PAGE), page
        return int(unpack_from("<L", self._page, at)[0])


class Lost:
    """The clusters that are marked as used (7.1), less those that something is known to have."""

    def __init__(self, volume: Volume, extent: Extent) -> None:
        self._volume, size = volume, -(-(volume.end - 2) // 8)
        self._bits = bytearray()
        for number in volume.clusters(Extent(extent.first, size, extent.is_straight)):
            for piece in volume.pieces(number):
                self._bits += piece[: size - len(self._bits)]

    def __contains__(self, number: int) -> bool:
        return self._volume.is_cluster(number) and bool(self._bits[(number - 2) >> 3] >> ((number - 2) & 7) & 1)

    def is_just(self, extent: Extent) -> bool:
        """Whether all clusters of *extent* are lost, and the one behind them is not a part of the same."""
        try:
            last = 0
            for step, number in enumerate(self._volume.clusters(extent)):
                if step % _LOOK_AT_CLOCK == 0:
                    self._volume.medium.require_time()
                if number not in self:
                    return False
                last = number
            return last + 1 not in self if extent.is_straight else self._volume.ends(last)
        except Damage:
            return False

    def take(self, extent: Extent) -> None:
        """Something has these clusters.  A file's broken chain is the file's matter, and whoever reads it hears."""
        if extent.is_straight:
            first, end = extent.first, min(extent.first + -(-extent.size // self._volume.cluster), self._volume.end)
            if not self._volume.is_cluster(first):
                return
            whole, whole_end = -(-(first - 2) // 8), (end - 2) // 8
            if whole < whole_end:
                self._bits[whole:whole_end] = bytes(whole_end - whole)
                edges = [*range(first, whole * 8 + 2), *range(whole_end * 8 + 2, end)]
            else:
                edges = [*range(first, end)]
            for number in edges:
                self._clear(number)
            return
        try:
            for number in self._volume.clusters(extent):
                if number not in self:  # somebody's already, and so is what follows
                    return
                self._clear(number)
        except Damage:
            return

    def __iter__(self) -> Iterator[int]:
        for found in _NOT_ZERO.finditer(self._bits):
            for number in range(found.start() * 8 + 2, found.start() * 8 + 10):
                if number in self:
                    yield number

    def _clear(self, number: int) -> None:
        self._bits[(number - 2) >> 3] &= ~(1 << ((number - 2) & 7)) & 0xFF
