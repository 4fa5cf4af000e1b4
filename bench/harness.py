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

from bench.outcome import Fact, Goal, Kind, Outcome, Row, Table, figure

REPOSITORY: Final = Path(__file__).resolve().parents[1]
LEFT_OUT_STATUS: Final = 3
"""Exit status of a part that cannot run here: something is not installed, and a sentence on stderr names it."""

# pynetdicom installs tools of its own under dcmtk's names; in an activated environment they would come first.
_OWN_TOOLS: Final = str(Path(sys.prefix, "bin"))
_PATH: Final = os.pathsep.join(
    (*(name for name in os.environ.get("PATH", "").split(os.pathsep) if name != _OWN_TOOLS), "/usr/sbin", "/sbin")
)


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


def empty(folder: Path) -> Path:
    """*folder*, new and with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


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


def find_tool(name: str) -> str | None:
    """The path of the system's program *name*."""
    return shutil.which(name, path=_PATH)


def need_tool(name: str, package: str) -> str:
    """The path of *name*; without it the whole part is left out."""
    path = find_tool(name)
    if path is None:
        leave_out(f"{name} is not installed (Debian: {package})")
    return path


def describe_computer(folder: Path | None = None) -> dict[str, Fact]:
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


Counts = tuple[int, int, str]
"""Of an option that is a number: what it is usually, what with --quick, and what it counts."""


def parser(**counts: Counts) -> argparse.ArgumentParser:
    """The options of every part, and those of *counts*; for `parsed`."""
    description = (sys.modules["__main__"].__doc__ or "").split("\n\n")[0]
    made = argparse.ArgumentParser(prog=f"python -m bench.{Path(sys.argv[0]).stem}", description=description)
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    made.add_argument("--quick", action="store_true", help="only see whether it works; the figures mean little")
    for name, (usual, quick, what) in counts.items():
        made.add_argument(f"--{name}", type=int, help=f"{what} (default {usual}; with --quick {quick})")
    made.set_defaults(counts=counts)
    return made


def parse(made: argparse.ArgumentParser) -> argparse.Namespace:
    options = made.parse_args()
    for name, (usual, quick, _) in options.counts.items():
        setattr(options, name, getattr(options, name) or (quick if options.quick else usual))
    return options


def publish(
    options: argparse.Namespace,
    title: str,
    tables: Iterable[Table],
    goals: Iterable[Goal] = (),
    left_out: Iterable[str] = (),
) -> None:
    """Print the outcome of a part; its description is the docstring of the module that runs."""
    paragraphs = (sys.modules["__main__"].__doc__ or title).strip().split("\n\n")
    about = "\n\n".join(text for text in paragraphs if not text.startswith("    ") and "python -m" not in text)
    part = Path(sys.argv[0]).stem
    results = tuple(tables), tuple(goals), tuple(left_out)
    outcome = Outcome(part, title, about, f"python -m bench.{part}", describe_computer(), options.quick, *results)
    if options.json:
        print(outcome.to_json())
        return
    from bench import page  # and with it Matplotlib, which is not to lie in the memory that a part measures

    print(page.render_part(outcome))


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
