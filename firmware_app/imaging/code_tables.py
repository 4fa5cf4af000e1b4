"""Huffman tables of a JPEG as look-ups by the next 16 bits, and the words from which those bits are read."""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.jpeg_scans import Table

WINDOW: Final = 0xFFFF
_BITS: Final = 16
_ZERO_RUN: Final = 0xF0
LENGTH: Final = 31
"""Of an entry: the bits that it takes; what they say stands above it."""
ABOVE: Final = 5
BLOCK_END: Final = 128
"""Added to the coefficients by the code that ends a block; more than a block has."""
NO_CODE: Final = 1024
_TABLES_KEPT: Final = 8
# A block has 64 codes at most, each of 31 bits at most with what follows it.
_BEHIND: Final = bytes(256)
Lookup: TypeAlias = "array[int]"


class Lost(Exception):
    """Codes come out otherwise than any encoder writes them."""


class Short(Exception):
    """The coded data end before the last code."""


class Run(NamedTuple):
    """The *words* of a run of coded data, how many *bits* it has, and the MCUs of the scan that it codes."""

    words: array[int]
    bits: int
    first: int
    units: int

    def wrong(self, at: int, what: str) -> Lost | Short:
        """What to raise where *what* is found at bit *at*: behind the end anything may be found."""
        return Short() if at > self.bits else Lost(what)


def words(coded: bytes) -> array[int]:
    """Of *coded* 32 bits from each second byte on: the 16 from bit p on are `word[p >> 4] >> 16 - p % 16 & WINDOW`."""
    padded = np.frombuffer(coded + _BEHIND + bytes(len(coded) & 1), ">u2").astype(np.uint32)
    return array("I", (padded[:-1] << 16 | padded[1:]).tobytes())


def given(table: Table | None) -> Table:
    """*table*, or `ValueError` where a scan goes without."""
    if table is None:
        raise ValueError("a scan without its table")
    return table


@lru_cache(_TABLES_KEPT)
def symbols(table: Table) -> Lookup:
    """By the next 16 bits: the length of their code, and above it its symbol; 0 where no code begins like that."""
    lengths, found = _codes(table)
    return _lookup(_spread(lengths, lengths | found << ABOVE, 0))


@lru_cache(_TABLES_KEPT)
def differences(table: Table) -> Lookup:
    """By the next 16 bits: the length of a DC code with the bits that follow it, and above it how many those are; 0
    where no code begins like that."""
    lengths, found = _codes(table)
    size = found & 15
    return _lookup(_spread(lengths, lengths + size | size << ABOVE, 0))


@lru_cache(_TABLES_KEPT)
def coefficients(table: Table, at_once: int) -> Lookup:
    """By the next 16 bits: the length of up to *at_once* AC codes with what follows them, and above it how many
    coefficients they stand for, and `BLOCK_END` or `NO_CODE`."""
    lengths, found = _codes(table)
    run, size = found >> 4, found & 15
    further = np.where(size > 0, run + 1, np.where(found == _ZERO_RUN, 16, BLOCK_END))
    if at_once == 1:
        return _lookup(_spread(lengths, lengths + size | further << ABOVE, NO_CODE << ABOVE))
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
    return _lookup(bits | count << ABOVE)


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


def _lookup(values: NDArray[np.int32]) -> Lookup:
    return array("H", values.astype(np.uint16).tobytes())
