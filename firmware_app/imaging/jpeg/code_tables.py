"""Huffman tables of a JPEG as look-ups by the next 16 bits, and the words from which those bits are read.

All is as large and as plain as it is because Python goes along the codes: each step of theirs that can be made for all
of them at once is made by NumPy.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.jpeg.scans import Table

WINDOW: Final = 0xFFFF
_BITS: Final = 16
_ZERO_RUN: Final = 0xF0
LENGTH: Final = 31
"""Of an entry of `starts`: the bits that it takes; the difference, from -`_LARGEST` on, stands above it."""
_ABOVE: Final = 5
_LARGEST: Final = 1 << 15
BLOCK: Final = 64
BLOCK_END: Final = 128
"""Added to the coefficients by the code that ends a block; more than a block has."""
NO_CODE: Final = 1024
_TABLES_KEPT: Final = 8
"""Both tables of each of the four components that a scan can have (ISO/IEC 10918-1 B.2.3)."""
_PAIRS_KEPT: Final = 4
"""Of what takes up to 8 MB each, which in a decode child is missing for the next film: one for each component."""
# A block has 64 codes at most, each of 31 bits at most with what follows it.
_BEHIND: Final = bytes(256)
_AT_A_TIME: Final = 1 << 16
"""Bytes of which all windows are made together; each is two bytes for every bit."""
_SHIFTS: Final = np.arange(8, 0, -1, dtype=np.uint32)
Starts: TypeAlias = "array[int]"
Pairs: TypeAlias = list[tuple[int, int]]
Triples: TypeAlias = list[tuple[int, int, int]]
Symbols: TypeAlias = list[tuple[int, int, int]]


class Lost(Exception):
    """Codes come out otherwise than any encoder writes them."""


class Short(Exception):
    """The coded data end before the last code."""


class Run(NamedTuple):
    """A run of *coded* data without what was stuffed into it, and the MCUs of the scan that it codes."""

    coded: bytes
    first: int
    units: int

    @property
    def bits(self) -> int:
        return 8 * len(self.coded)

    def window(self, at: int) -> int:
        """The 16 bits from bit *at* on, zeros behind the end."""
        three = int.from_bytes(self.coded[at >> 3 : (at >> 3) + 3].ljust(3, b"\0"), "big")
        return three >> 8 - (at & 7) & WINDOW

    def wrong(self, at: int, what: str) -> Lost | Short:
        """What to raise where *what* is found at bit *at*: behind the end anything may be found."""
        return Short() if at > self.bits else Lost(what)


def words(coded: bytes) -> array[int]:
    """Of *coded* 32 bits from each second byte on: the 16 from bit p on are `word[p >> 4] >> 16 - p % 16 & WINDOW`."""
    padded = np.frombuffer(coded + _BEHIND + bytes(len(coded) & 1), ">u2").astype(np.uint32)
    return array("I", (padded[:-1] << 16 | padded[1:]).tobytes())


def windows(coded: bytes, first: int) -> tuple[array[int], int]:
    """The 16 bits from each bit on, of as many bytes from *first* on as are made together; and how many bits those
    are.  Some more windows lie behind, for the block that goes beyond."""
    padded = np.frombuffer(coded[first : first + _AT_A_TIME + len(_BEHIND)] + _BEHIND, np.uint8).astype(np.uint32)
    three = padded[:-2] << 16 | padded[1:-1] << 8 | padded[2:]
    each = (three[:, np.newaxis] >> _SHIFTS).astype(np.uint16)
    return array("H", each.tobytes()), 8 * min(_AT_A_TIME, len(coded) - first)


def given(table: Table | None) -> Table:
    """*table*, or `ValueError` where a scan goes without."""
    if table is None:
        raise ValueError("a scan without its table")
    return table


@lru_cache(_TABLES_KEPT)
def symbols(table: Table) -> Symbols:
    """By the next 16 bits: the length of their code, and its symbol in two halves (of an AC code zeros, and bits of a
    value); length 0 where no code begins like that."""
    lengths, found = _codes(table)
    entries: Symbols = []
    for length, symbol in zip(lengths.tolist(), found.tolist(), strict=True):
        entries += [(length, symbol >> 4, symbol & 15)] * (1 << _BITS - length)
    return entries + [(0, 0, 0)] * ((1 << _BITS) - len(entries))


@lru_cache(_TABLES_KEPT)
def starts(table: Table) -> Starts:
    """By the next 16 bits: a DC code with the difference behind it; 0 where they are longer than 16 bits, for which
    there is `long_start`, or no code begins like that."""
    lengths, found = _codes(table)
    size = _spread(lengths, found & 15, 0)
    taken = _spread(lengths, lengths + (found & 15), _BITS + 1)
    value = np.arange(1 << _BITS) >> np.maximum(_BITS - taken, 0) & (1 << size) - 1
    difference = np.where(value < 1 << size >> 1, value + 1 - (1 << size), value)
    return array(
        "I", np.where(taken <= _BITS, (difference + _LARGEST) << _ABOVE | taken, 0).astype(np.uint32).tobytes()
    )


@lru_cache(_PAIRS_KEPT)
def coefficients(table: Table, at_once: int) -> Pairs:
    """By the next 16 bits: the length of up to *at_once* AC codes with what follows them, and how many coefficients
    they stand for, with `BLOCK_END` or `NO_CODE` added."""
    bits, count = _coefficients(table, at_once)
    return _shared(count << _ABOVE | bits, lambda packed: (packed & LENGTH, packed >> _ABOVE))


@lru_cache(_PAIRS_KEPT)
def beginnings(dc: Table, ac: Table, at_once: int) -> Triples:
    """By the next 16 bits: the length of a DC code with its difference and of AC codes behind them, the entry of
    `starts`, and how many coefficients they all stand for, as `coefficients` has it; length 0 as in `starts`."""
    entry = np.frombuffer(starts(dc), np.uint32).astype(np.int64)
    bits, count = _coefficients(ac, at_once)
    taken = entry & LENGTH
    ahead = (np.arange(1 << _BITS) << taken) & WINDOW
    further, longer = 1 + count[ahead], taken + bits[ahead]
    fits = (longer <= _BITS) & ((further <= BLOCK) | (further > BLOCK_END) & (further < BLOCK_END + BLOCK))
    taken, further = np.where(fits, longer, taken), np.where(fits, further, 1)
    packed = np.where(entry > 0, entry << _BITS | further << _ABOVE | taken, 0)
    return _shared(packed, lambda packed: (packed & LENGTH, packed >> _BITS, packed >> _ABOVE & 0x7FF))


def long_start(run: Run, at: int, table: Table) -> int:
    """As an entry of `starts`, of a code that it does not have."""
    length, _, size = symbols(table)[run.window(at)]
    if not length:
        raise run.wrong(at, "no code of a block's start")
    value = run.window(at + length) >> 16 - size
    difference = value if value >> size - 1 else value + 1 - (1 << size)
    return difference + _LARGEST << _ABOVE | length + size


def check_levels(started: list[int], highest: int) -> None:
    """Raise `Lost` where one of the blocks of a component in a run has a DC coefficient further from 0 than *highest*;
    *started* are their entries of `starts`."""
    levels = np.cumsum((np.array(started, np.int64) >> _ABOVE) - _LARGEST)
    if np.abs(levels).max(initial=0) > highest:
        raise Lost("a block lighter or darker than any")


def _codes(table: Table) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The length of each code, in their order, and its symbol."""
    counts, stored = np.frombuffer(table[:_BITS], np.uint8), np.frombuffer(table[_BITS:], np.uint8)
    lengths = np.repeat(np.arange(1, _BITS + 1, dtype=np.int32), counts)
    if len(lengths) != len(stored) or (1 << _BITS - lengths).sum() > 1 << _BITS:
        raise ValueError("more codes than there can be")
    return lengths, stored.astype(np.int32)


def _spread(lengths: NDArray[np.int32], values: NDArray[np.int32], other: int) -> NDArray[np.int32]:
    """By the next 16 bits: the value of their code (ISO/IEC 10918-1 C.2), or *other* where none begins like that."""
    by_window = np.repeat(values, 1 << _BITS - lengths)
    return np.pad(by_window, (0, (1 << _BITS) - len(by_window)), constant_values=other)


def _coefficients(table: Table, at_once: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The columns of `coefficients`."""
    lengths, found = _codes(table)
    run, size = found >> 4, found & 15
    further = np.where(size > 0, run + 1, np.where(found == _ZERO_RUN, 16, BLOCK_END))
    one, its = _spread(lengths, lengths + size, 0), _spread(lengths, further, NO_CODE)
    bits, count = one.copy(), its.copy()
    going = np.flatnonzero((count < BLOCK_END) & (bits < _BITS))
    for _ in range(at_once - 1):
        ahead = (going << bits[going]) & WINDOW
        longer = bits[going] + one[ahead]
        fits = (longer <= _BITS) & (its[ahead] < NO_CODE)
        going, ahead = going[fits], ahead[fits]
        bits[going] = longer[fits]
        count[going] += its[ahead]
        going = going[count[going] < BLOCK_END]
    return bits, count


def _shared(packed: NDArray[Any], entry: Callable[[int], tuple[int, ...]]) -> list[Any]:
    """The *entry* of each number: few of them differ, and a loop has both numbers of a tuple as quickly as one."""
    begins = np.flatnonzero(np.diff(packed, prepend=-1))  # many neighbours are the same
    different, place = np.unique(packed[begins], return_inverse=True)
    entries = np.empty(len(different), object)
    entries[:] = [entry(each) for each in different.tolist()]
    found: list[Any] = np.repeat(entries[place], np.diff(begins, append=len(packed))).tolist()
    return found
