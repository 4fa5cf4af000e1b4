"""Where the last code of a run ends in a scan of whole blocks: baseline and extended JPEG (ISO/IEC 10918-1 F.2).

Nothing is decoded but how long the codes are, several at a time.
"""

from __future__ import annotations

from typing import Final

from firmware_app.imaging.code_tables import (
    ABOVE,
    BLOCK_END,
    LENGTH,
    WINDOW,
    Run,
    Short,
    coefficients,
    differences,
    given,
    symbols,
)
from firmware_app.imaging.jpeg_scans import Scan, Table

_BLOCK: Final = 64
_AT_ONCE: Final = 3
_LONG: Final = 1 << 18
"""Bits of a run that are worth a table of several codes at once."""


def end_of(scan: Scan, run: Run) -> int:
    """The bit behind the last code of *run*; raises `Lost` or `Short`, or `ValueError` where a table is missing."""
    at_once, parts = _AT_ONCE if run.bits > _LONG else 1, []
    for component, dc, ac, highest in scan.parts:
        parts.append((component, differences(given(dc)), coefficients(given(ac), at_once), given(ac), highest))
    word, end, at = run.words, run.bits, 0
    levels = [0] * (1 + max(part.component for part in scan.parts))
    for _ in range(run.units):
        for component, starts, several, table, highest in parts:
            taken = starts[word[at >> 4] >> 16 - (at & 15) & WINDOW]
            if not taken:
                raise run.wrong(at, "no code of a block's start")
            at += taken & LENGTH
            if size := taken >> ABOVE:
                begin = at - size
                value = (word[begin >> 4] >> 16 - (begin & 15) & WINDOW) >> 16 - size
                level = levels[component] + (value if value >> size - 1 else value + 1 - (1 << size))
                if not -highest <= level <= highest:
                    raise run.wrong(at, "a block lighter or darker than any")
                levels[component] = level
            count = 1
            while count < _BLOCK:
                taken = several[word[at >> 4] >> 16 - (at & 15) & WINDOW]
                at += taken & LENGTH
                count += taken >> ABOVE
            if count != _BLOCK and not BLOCK_END < count < BLOCK_END + _BLOCK:
                # The block may have ended among the last codes, whose others are then the next one's.
                at = _one_by_one(table, run, at - (taken & LENGTH), count - (taken >> ABOVE))
            if at > end:
                raise Short
    return at


def _one_by_one(table: Table, run: Run, at: int, count: int) -> int:
    """From the coefficient *count* of a block, whose next code is at bit *at*, to its end."""
    codes = symbols(table)
    while count < _BLOCK:
        code = codes[run.words[at >> 4] >> 16 - (at & 15) & WINDOW]
        if not code:
            raise run.wrong(at, "no code of a coefficient")
        symbol = code >> ABOVE
        zeros, size = symbol >> 4, symbol & 15
        at += (code & LENGTH) + size
        if size:
            count += zeros + 1
            if count > _BLOCK:
                raise run.wrong(at, "a coefficient behind the last one of its block")
        elif zeros == 15:  # beyond the end too, which is of no effect
            count += 16
        else:
            break
    return at
