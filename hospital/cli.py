"""The `lantern-hospital` command.  The receiving end arrives with the second milestone; until then it says so."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; exit status 2 for everything but --help."""
    parser = argparse.ArgumentParser(
        prog="lantern-hospital",
        description="Receives the sealed summaries of the boxes. This version of Lantern has no receiving end yet.",
    )
    parser.parse_args(arguments)
    print(
        "This version of Lantern has no receiving end yet; the box reads and keeps its results itself.", file=sys.stderr
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
