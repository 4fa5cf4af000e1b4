"""How every bench measures: variants in turn, many rounds, medians and spread, and what it all ran on.

Machines are shared and warm up, so an absolute figure means little.  Variants are run alternately in one session,
in an order that turns with each round, each as a process of its own, and it is the ratio of their medians that is
quoted.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from bench.outcome import MANY, Fact, Goal, Kind, Outcome, Row, Table, figure

REPOSITORY: Final = Path(__file__).resolve().parents[1]
LEFT_OUT_STATUS: Final = 3
"""Exit status of a part that cannot run here: something is not installed, and a sentence on stderr names it."""

# pynetdicom installs tools of its own under dcmtk's names; in an activated environment they would come first.
_OWN_TOOLS: Final = str(Path(sys.prefix, "bin"))
_PATH: Final = os.pathsep.join(
    (*(name for name in os.environ.get("PATH", "").split(os.pathsep) if name != _OWN_TOOLS), "/usr/sbin", "/sbin")
)


# --- measuring ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """One thing to measure: `run` does it once and returns the sample, in seconds or the unit of its table."""

    name: str
    version: str
    run: Callable[[], float]
    kind: Kind = "lantern"


@dataclass
class Result:
    """The samples of one variant, one per round."""

    name: str
    version: str
    seconds: list[float] = field(default_factory=list)
    kind: Kind = "lantern"

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def row(self) -> Row:
        return Row(self.name, tuple(self.seconds), self.kind, self.version)


def alternate(variants: Sequence[Variant], rounds: int, warm_ups: int = 1) -> list[Result]:
    """Run every variant *rounds* times, in turn; *warm_ups* rounds before that do not count."""
    results = [Result(variant.name, variant.version, [], variant.kind) for variant in variants]
    for number in range(warm_ups + rounds):
        first = number % len(variants)
        for index in (*range(first, len(variants)), *range(first)):
            value = variants[index].run()
            if number >= warm_ups:
                results[index].seconds.append(value)
            progress(f"round {number + 1} of {warm_ups + rounds}: {variants[index].name} {figure(value)}")
    return results


def await_true(condition: Callable[[], object], seconds: float, what: str, poll: float = 0.001) -> None:
    """Return as soon as *condition* holds; give up with a sentence about *what* after *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            give_up(f"Not within {seconds:.0f} s: {what}.")
        time.sleep(poll)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether something listens on *port* of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


# --- what is there ------------------------------------------------------------------------------------------------


def find_tool(name: str) -> str | None:
    """The path of the system's program *name*."""
    return shutil.which(name, path=_PATH)


def need_tool(name: str, package: str) -> str:
    """The path of *name*; without it the whole part is left out."""
    path = find_tool(name)
    if path is None:
        leave_out(f"{name} is not installed (Debian: {package})")
    return path


def machine(folder: Path | None = None) -> dict[str, Fact]:
    """The machine on which a figure was measured, without its name; *folder* is where the bench wrote."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count() or 0,
        "processor": _processor(),
        "memory": f"{memory / 1e9:.0f} GB",
        "architecture": platform.machine(),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "file_system": _file_system(folder or Path(tempfile.gettempdir())),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "taken": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _file_system(folder: Path) -> str:
    """The file system of *folder*: on tmpfs an fsync does nothing, so its time means nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    held = [(where, kind) for where, kind in mounts if folder.resolve().is_relative_to(where)]
    return max(held, key=lambda mount: len(mount[0]))[1] if held else "unknown"


# --- the command line and what is printed -------------------------------------------------------------------------


def parser(part: str, documentation: str | None) -> argparse.ArgumentParser:
    """The options of every part."""
    made = argparse.ArgumentParser(prog=f"python -m bench.{part}", description=(documentation or "").split("\n\n")[0])
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    made.add_argument("--quick", action="store_true", help="only see whether it works; the figures mean little")
    return made


def publish(
    title: str,
    tables: Iterable[Table],
    goals: Iterable[Goal] = (),
    left_out: Iterable[str] = (),
    *,
    as_json: bool,
    quick: bool = False,
) -> None:
    """Print the outcome of a part; its description is the docstring of the module that runs."""
    paragraphs = (sys.modules["__main__"].__doc__ or title).strip().split("\n\n")
    about = "\n\n".join(text for text in paragraphs if not text.startswith("    ") and "python -m" not in text)
    part = Path(sys.argv[0]).stem
    outcome = Outcome(
        part, title, about, f"python -m bench.{part}", machine(), quick, tuple(tables), tuple(goals), tuple(left_out)
    )
    print(outcome.to_json() if as_json else describe(outcome))


def describe(outcome: Outcome) -> str:
    """*outcome* for a terminal."""
    lines = [outcome.title, *(f"  {key.replace('_', ' ')}: {value}" for key, value in outcome.machine.items())]
    for table in outcome.tables:
        lines += ["", f"{table.title} ({table.unit})"]
        lines += [f"  {key.replace('_', ' ')}: {value}" for key, value in table.facts.items()]
        width = max(len(row.name) for row in table.rows)
        for row in table.rows:
            ratio = f"{row.median / table.rows[0].median:6.2f} x" if table.compared else ""
            tail = f"p95 {figure(row.p95)}, " if len(row.samples) >= MANY else ""
            spread = f"({tail}{figure(min(row.samples))} to {figure(max(row.samples))}, n = {len(row.samples)})"
            lines.append(f"  {row.name:{width}}  {figure(row.median):>8}  {spread:32} {ratio}   {row.version}")
    lines += [""] if outcome.goals or outcome.left_out else []
    for goal in outcome.goals:
        sign = "≥" if goal.at_least else "≤"
        verdict = "reached" if goal.reached else "NOT reached"
        lines.append(f"  {goal.text} {sign} {figure(goal.bound)} {goal.unit}: {figure(goal.found)}, {verdict}")
    lines += [f"  left out: {sentence.rstrip('.')}" for sentence in outcome.left_out]
    return "\n".join(lines)


def progress(text: str) -> None:
    """A progress line on stderr; stdout may be JSON."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def give_up(sentence: str) -> NoReturn:
    """End with a sentence that says what went wrong."""
    print(sentence, file=sys.stderr)
    sys.exit(1)


def leave_out(sentence: str) -> NoReturn:
    """End this part, which cannot run here, with a sentence that says what it needs."""
    print(sentence, file=sys.stderr)
    sys.exit(LEFT_OUT_STATUS)
