"""Where the last code of a run ends in a scan of a progressive JPEG (ISO/IEC 10918-1 G.1.2, G.2).

How long the codes of a later scan are depends on which coefficients earlier ones made other than zero; nothing else is
kept of them.
"""

from __future__ import annotations

from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.jpeg.code_tables import (
    BLOCK,
    LENGTH,
    WINDOW,
    Lost,
    Run,
    Short,
    check_levels,
    given,
    long_start,
    starts,
    symbols,
    words,
)
from firmware_app.imaging.jpeg.scans import Scan, Table

_ZERO_RUN: Final = 15


class Codes:
    """Goes along the scans of one frame in their order; raises `Lost` or `Short`, or `ValueError` for what no
    progressive frame has."""

    def __init__(self) -> None:
        self._nonzero: dict[int, NDArray[np.bool_]] = {}
        self._lowest: dict[tuple[int, int], int] = {}

    def begin(self, scan: Scan) -> None:
        """Check that *scan* takes up where the one before it left off (G.1.1.1.1)."""
        if not 0 <= scan.first <= scan.last < BLOCK or (scan.first and len(scan.parts) != 1):
            raise ValueError("a scan of coefficients that there are not")
        for component in {part.component for part in scan.parts}:
            for number in range(scan.first, scan.last + 1):
                lowest = self._lowest.get((component, number), 0 if scan.refined == 0 else -1)
                if scan.refined and lowest != scan.refined:
                    raise Lost("a scan that refines what was not there before it")
                self._lowest[component, number] = scan.approximation
            if scan.first and component not in self._nonzero:
                self._nonzero[component] = np.zeros((scan.units, BLOCK), np.bool_)

    def end_of(self, scan: Scan, run: Run) -> int:
        """The bit behind the last code of *run*."""
        if not scan.first:
            return _starts(scan, run) if not scan.refined else run.units * len(scan.parts)
        nonzero, table = self._nonzero[scan.parts[0].component], given(scan.parts[0].ac)
        end, found = _refined(scan, run, table, nonzero) if scan.refined else _first(scan, run, table)
        nonzero.ravel()[np.frombuffer(found, np.uint32)] = True
        return end


def _starts(scan: Scan, run: Run) -> int:
    """The end of a scan that has the first coefficient of each block for the first time (G.1.2.1)."""
    started: dict[int, list[int]] = {part.component: [] for part in scan.parts}
    parts = [(started[part.component].append, starts(given(part.dc)), given(part.dc)) for part in scan.parts]
    word, at = words(run.coded), 0
    for _ in range(run.units):
        for begin, first, table in parts:
            start = first[word[at >> 4] >> 16 - (at & 15) & WINDOW] or long_start(run, at, table)
            at += start & LENGTH
            begin(start)
        if at > run.bits:
            raise Short
    for component, highest in {part.component: part.highest for part in scan.parts}.items():
        # Shifted, a negative one comes to lie one further from 0 (G.1.2.1).
        check_levels(started[component], (highest >> scan.approximation) + 1)
    return at


def _first(scan: Scan, run: Run, table: Table) -> tuple[int, array[int]]:
    """(end, the coefficients that are not zero) of a scan that has them for the first time (G.1.2.2)."""
    codes, word, first, last = symbols(table), words(run.coded), scan.first, scan.last
    block, behind, at, found = run.first, run.first + run.units, 0, array("I")
    while block < behind:
        number = first
        while number <= last:
            length, zeros, size = codes[word[at >> 4] >> 16 - (at & 15) & WINDOW]
            if not length:
                raise run.wrong(at, "no code of a coefficient")
            at += length
            if size:
                at += size
                number += zeros
                if number > last:
                    raise run.wrong(at, "a coefficient behind the last one of its scan")
                found.append(block * BLOCK + number)
                number += 1
            elif zeros == _ZERO_RUN:
                number += 16
            else:
                bits = word[at >> 4] >> 16 - (at & 15) & WINDOW
                block += (1 << zeros) + (bits >> 16 - zeros) - 1
                at += zeros
                break
        block += 1
        if at > run.bits:
            raise Short
    if block > behind:
        raise Lost("more blocks than the frame has")
    return at, found


def _refined(scan: Scan, run: Run, table: Table, nonzero: NDArray[np.bool_]) -> tuple[int, array[int]]:
    """(end, the coefficients that are no longer zero) of a scan that has one bit more of each (G.1.2.3)."""
    codes, word, first, last, width = (
        symbols(table),
        words(run.coded),
        scan.first,
        scan.last,
        scan.last + 1 - scan.first,
    )
    block, behind, at, found = run.first, run.first + run.units, 0, array("I")
    zero = ~nonzero[block:behind, first : last + 1]
    # The coefficients that are zero one after the other, and how many there are of them before each block of the run.
    places = np.broadcast_to(np.arange(first, last + 1, dtype=np.uint8), zero.shape)[zero].tobytes()
    before = [0, *np.cumsum(zero.sum(axis=1)).tolist()]
    while block < behind:
        number, here, stop = first, before[block - run.first], before[block - run.first + 1]
        while number <= last:
            length, zeros, size = codes[word[at >> 4] >> 16 - (at & 15) & WINDOW]
            if not length:
                raise run.wrong(at, "no code of a coefficient")
            at += length
            if size > 1:
                raise run.wrong(at, "a coefficient of more than one bit")
            if not size and zeros < _ZERO_RUN:  # the end of this block and of some behind it
                bits = word[at >> 4] >> 16 - (at & 15) & WINDOW
                reached = block + (1 << zeros) + (bits >> 16 - zeros)
                if reached > behind:
                    raise run.wrong(at, "more blocks than the frame has")
                at += zeros + last + 1 - number - (stop - here)
                at += (reached - block - 1) * width - (before[reached - run.first] - stop)
                block = reached - 1
                break
            at += size
            if here + zeros < stop:
                place = places[here + zeros]
                at += place - number - zeros
                if size:
                    found.append(block * BLOCK + place)
                number, here = place + 1, here + zeros + 1
            elif size:
                raise run.wrong(at, "a coefficient behind the last one of its scan")
            else:
                at += last + 1 - number - (stop - here)
                break
        block += 1
        if at > run.bits:
            raise Short
    return at, found
