"""Where the last code of a run ends in a scan of whole blocks: baseline and extended JPEG (ISO/IEC 10918-1 F.2).

Nothing is decoded but how long the codes are, several at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from firmware_app.imaging.jpeg.code_tables import (
    BLOCK,
    BLOCK_END,
    LENGTH,
    Pairs,
    Run,
    Short,
    Symbols,
    Triples,
    beginnings,
    check_levels,
    coefficients,
    given,
    long_start,
    symbols,
    windows,
)
from firmware_app.imaging.jpeg.scans import Scan, Table

_AT_ONCE: Final = 4
_LONG: Final = 1 << 14
"""Bytes of a scan that are worth tables of several codes at once."""


_Part: TypeAlias = tuple[Callable[[int], None], Triples, Pairs, tuple[Table, Table]]
"""Where the entries of its blocks' starts go, the look-ups for a block's beginning and its rest, and its tables."""


def end_of(scan: Scan, run: Run) -> int:
    """The bit behind the last code of *run*; raises `Lost` or `Short`, or `ValueError` where a table is missing."""
    at_once = _AT_ONCE if scan.end - scan.begin > _LONG else 1
    parts, started = list[_Part](), dict[int, list[int]]()
    for component, dc, ac, _ in scan.parts:
        start, tables = started.setdefault(component, []).append, (given(dc), given(ac))
        parts.append((start, beginnings(*tables, at_once), coefficients(tables[1], at_once), tables))
    highest = {part.component: part.highest for part in scan.parts}
    try:
        end = _end(parts, run)
    except Short:  # of blocks far lighter than white the pixels would not show what is missing
        for component, levels in started.items():
            check_levels(levels[:-1], highest[component])
        raise
    for component, levels in started.items():
        check_levels(levels, highest[component])
    return end


def _end(parts: Sequence[_Part], run: Run) -> int:
    base, at = 0, 0  # at counts from the bit base on
    window, stop = windows(run.coded, 0)
    for _ in range(run.units):
        for start, first, several, tables in parts:
            bits, entry, count = first[window[at]]
            if not bits:
                entry = long_start(run, base + at, tables[0])
                bits, count = entry & LENGTH, 1
            at += bits
            start(entry)
            while count < BLOCK:
                bits, further = several[window[at]]
                at += bits
                count += further
            if count != BLOCK and not BLOCK_END < count < BLOCK_END + BLOCK:
                # The block may have ended among the last codes, whose others are then the next one's.
                at, count = at - bits, count - further
                at += _rest(symbols(tables[1]), window, at, count, run, base)
            if at > stop:
                base, at = base + (at & ~7), at & 7
                if base + at > run.bits:
                    raise Short
                window, stop = windows(run.coded, base >> 3)
    return base + at


def _rest(codes: Symbols, window: Sequence[int], at: int, count: int, run: Run, base: int) -> int:
    """How many bits a block has left from the coefficient *count* on, whose code is at bit *at* of *window*."""
    begin = at
    while count < BLOCK:
        length, zeros, size = codes[window[at]]
        if not length:
            raise run.wrong(base + at, "no code of a coefficient")
        at += length + size
        if size:
            count += zeros + 1
            if count > BLOCK:
                raise run.wrong(base + at, "a coefficient behind the last one of its block")
        elif zeros == 15:  # beyond the end too, which is of no effect
            count += 16
        else:
            break
    return at - begin
