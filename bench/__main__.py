"""`make bench`: every part, one after the other, then the page of figures.

    python -m bench [--quick] [--only PART ...] [--skip PART ...]

Each part's JSON goes to build/bench/PART.json, and docs/performance.md is made of these files. With --quick both go to
build/bench/quick, to see only that everything works. A part whose peers are not installed is left out with a sentence.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Final

from bench import harness, page
from bench.outcome import Outcome

PARTS: Final = ("intake", "reading", "decode", "pipeline", "start", "memory", "viewer", "line", "hospital", "size")
_MOST_S: Final = 900
_ENDING_S: Final = 60


def main() -> int:
    options = _options()
    folder = harness.REPOSITORY / "build" / "bench" / ("quick" if options.quick else "")
    folder.mkdir(parents=True, exist_ok=True)
    whole = True
    for part in options.only or PARTS:
        if part in options.skip:
            continue
        begun = time.monotonic()
        outcome, well = _measure(part, options.quick)
        whole = whole and well
        (folder / f"{part}.json").write_text(outcome.to_json() + "\n", "utf-8")
        print(f"{page.render_part(outcome)}\n  {part} took {time.monotonic() - begun:.0f} s\n", flush=True)
    where = folder / page.NAME if options.quick else page.DEFAULT
    page.write(folder, where)
    print(f"The page is {where.relative_to(harness.REPOSITORY)}.")
    return 0 if whole else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="only see whether it works; the figures mean little")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--skip", nargs="+", choices=PARTS, default=[], metavar="PART")
    return parser.parse_args()


def _measure(part: str, quick: bool) -> tuple[Outcome, bool]:
    """Run *part* in its own process, so that it does not affect the next; False when it failed."""
    command = [sys.executable, "-m", f"bench.{part}", "--json", *(["--quick"] if quick else [])]
    process = subprocess.Popen(
        command,
        cwd=harness.REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=None if sys.stderr.isatty() else subprocess.PIPE,
        text=True,
    )
    try:
        output, said = process.communicate(timeout=_MOST_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # as Ctrl-C would, so that it ends the processes which it has started
        with suppress(subprocess.TimeoutExpired):  # one of those may live on and hold the pipe open
            process.communicate(timeout=_ENDING_S)
        process.kill()
        return _nothing(part, quick, f"It did not end within {_MOST_S} s."), False
    if process.returncode == 0:
        return Outcome.from_json(output), True
    sentences = (said or "").strip().splitlines() or [f"It ended with status {process.returncode}."]
    return _nothing(part, quick, sentences[-1]), process.returncode == harness.LEFT_OUT_STATUS


def _nothing(part: str, quick: bool, sentence: str) -> Outcome:
    return Outcome(
        part,
        part.capitalize(),
        "This part was not measured.",
        f"python -m bench.{part}",
        harness.describe_computer(),
        quick,
        left_out=(sentence,),
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Stopped; what was measured so far is in build/bench.")
