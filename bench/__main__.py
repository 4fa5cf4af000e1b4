"""`make bench`: every measurement that the README quotes, one after the other.

python -m bench [--json]
"""

from __future__ import annotations

import subprocess
import sys

PARTS = ("bench.intake", "bench.reading", "bench.viewer", "bench.line")


def main() -> int:
    """Run each part as its own process, so that none warms or burdens the next."""
    return max(subprocess.run([sys.executable, "-m", part, *sys.argv[1:]], check=False).returncode for part in PARTS)


if __name__ == "__main__":
    sys.exit(main())
