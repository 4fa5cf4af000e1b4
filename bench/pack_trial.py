"""How often the trial of a new version of a pack ends wrongly: exact probabilities, from the box's own rules.

    python -m bench.pack_trial [--images N]

A version is left where it says the same as the one before for too few images, or where doctors hold with the one before
in too many of the cases in which the two differ.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Final

from firmware_app.packs.trial_rules import LEAST_AGREEMENT, SIGNIFICANCE, sign_test

SAME: Final = (0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.5)
DIFFER: Final = (5, 10, 20)
RIGHT: Final = (0.5, 0.3, 0.1)


def left_by_agreement(images: int, same: float) -> float:
    """The probability that fewer than the bound agree, where each does with probability *same*."""
    least = math.ceil(LEAST_AGREEMENT * images)
    return sum(_binomial(images, k, same) for k in range(least))


def left_by_doctors(cases: int, right: float) -> float:
    """The probability that the sign test says no, where the new version is right in each of *cases* with that
    probability and the one before in the others."""
    return sum(_binomial(cases, k, 1.0 - right) for k in range(cases + 1) if sign_test(k, cases - k) < SIGNIFICANCE)


def _binomial(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1.0 - p) ** (n - k)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.pack_trial", description=(__doc__ or "").split("\n\n")[0])
    options.add_argument("--images", type=int, default=50, help="of a trial, as [packs] trial_images says")
    images = options.parse_args().images
    print(f"| the same answer for | left after {images} images |\n| --- | --- |")
    for same in SAME:
        print(f"| {same:.0%} | {left_by_agreement(images, same):.3f} |")
    print("\n| cases that differ | new version right in | left |\n| --- | --- | --- |")
    for cases in DIFFER:
        for right in RIGHT:
            print(f"| {cases} | {right:.0%} | {left_by_doctors(cases, right):.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
