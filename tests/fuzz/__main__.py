"""`make fuzz`: both targets side by side, and what they found.

    python -m tests.fuzz [--minutes 30] [--target door|child ...] [--merge] [FINDING ...]

The minutes are shared by the targets.  A target that finds something is started again and goes on; at the end each
finding stands there with the file that shows it, and the exit status is 1.  What the runs learnt stays in build/fuzz,
and the next run begins with it.  With --merge it is minimised into tests/fuzz/corpus-TARGET.tar.xz, which `make test`
replays.
FINDING: only replay these files.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from firmware_app.core import child_process
from tests.fuzz import corpus, coverage, seeds, targets

ROOT: Final = Path(__file__).resolve().parents[2]
WORK: Final = ROOT / "build" / "fuzz"
LONGEST_BYTES: Final = 16384
"""Of an input: coverage comes from short objects, and short ones are quick."""
SLOWEST_S: Final = 10
_MOST_RUNS: Final = {"door": -1, "child": 6000}
"""Of one process: what libFuzzer learns takes the address space that the limits of the child leave it."""
_INTERRUPTED: Final = 72
_PYTHON_ERROR: Final = re.compile(r"=== Uncaught Python exception: ===\n(.*)\n")
_FRAME: Final = re.compile(r'File "([^"]*(?:firmware_app|tests|site-packages)/[^"]*)", line (\d+)')
_WRITTEN: Final = re.compile(r"Test unit written to (\S+)")
_STATISTIC: Final = re.compile(r"stat::number_of_executed_units: (\d+)")
_COVERAGE: Final = re.compile(r"cov: (\d+)")


@dataclass
class Campaign:
    """One target's run, over as many processes as findings make of it."""

    target: str
    until: float
    executions: int = 0
    coverage: int = 0
    findings: dict[str, str] = field(default_factory=dict)  # what happened and where → the file that shows it
    process: subprocess.Popen[str] | None = None

    @property
    def log(self) -> Path:
        return WORK / f"{self.target}.log"

    def start(self) -> None:
        left = max(1, round(self.until - time.monotonic()))
        most = f"-runs={_MOST_RUNS[self.target]}"
        flags = (f"-max_total_time={left}", most, f"-artifact_prefix={WORK / 'found' / self.target}-", "-reload=0")
        folders = (str(WORK / self.target), str(WORK / "seeds"))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*_command(self.target, *flags), *folders],
                cwd=ROOT,
                env=child_process.build_child_environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def poll(self) -> bool:
        """Whether the run goes on; reads what a process that has ended says, and starts the next."""
        if self.process is None or self.process.poll() is None:
            return self.process is not None
        said = self.log.read_text("utf-8", "replace")
        self.executions += sum(int(number) for number in _STATISTIC.findall(said))
        self.coverage = max([self.coverage, *(int(number) for number in _COVERAGE.findall(said))])
        written = _WRITTEN.search(said)
        if written is not None:
            self.findings.setdefault(_signature(said), written[1])
        elif self.process.returncode not in (0, _INTERRUPTED):
            words = WORK / "found" / f"{self.target}-died-{len(self.findings)}.log"
            words.write_text(said)
            self.findings.setdefault(f"status {self.process.returncode}, {_signature(said)}", str(words))
        self.process = None
        if time.monotonic() < self.until - 1:
            self.start()
        return self.process is not None

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()
            self.until = 0.0
            self.poll()


def main() -> int:
    options = _options()
    if options.findings:
        return _replay(options.target, options.findings)
    names = options.target or list(targets.TARGETS)
    for name in names:
        (WORK / name).mkdir(parents=True, exist_ok=True)
        corpus.unpack(name, WORK / name)
    shutil.rmtree(WORK / "seeds", ignore_errors=True)
    for folder in ("seeds", "found"):
        (WORK / folder).mkdir(exist_ok=True)
    for name, data in seeds.make_seeds().items():
        (WORK / "seeds" / name).write_bytes(data)
    if options.merge:
        for name in names:
            _merge(name)
        return 0
    until = time.monotonic() + 60 * options.minutes / len(names)
    return _run_campaigns([Campaign(name, until) for name in names])


def _run_campaigns(campaigns: list[Campaign]) -> int:
    """Run them; a line for each at the end, and for every finding."""
    begun = time.monotonic()
    try:
        for campaign in campaigns:
            campaign.start()
        while campaigns_on := [campaign for campaign in campaigns if campaign.poll()]:
            time.sleep(0.5 / len(campaigns_on))
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
    finally:
        for campaign in campaigns:
            campaign.stop()
    minutes = (time.monotonic() - begun) / 60
    for campaign in campaigns:
        print(
            f"{campaign.target}: {campaign.executions} executions in {minutes:.1f} minutes, "
            f"coverage {campaign.coverage}, findings {len(campaign.findings)}"
        )
        for signature, file in campaign.findings.items():
            print(f"  {signature}\n    {Path(file).relative_to(ROOT) if Path(file).is_absolute() else file}")
    return 1 if any(campaign.findings for campaign in campaigns) else 0


def _signature(said: str) -> str:
    """What happened, and the last line of Python that it passed."""
    error, frames = _PYTHON_ERROR.search(said), _FRAME.findall(said)
    where = f" at {Path(frames[-1][0]).name}:{frames[-1][1]}" if frames else ""
    if error is not None:
        return error[1][:100] + where
    summary = re.search(r"ERROR: libFuzzer: (.*)", said) or re.search(r"SUMMARY: (.*)", said)
    return (summary[1][:100] if summary else "the process died") + where


def _merge(name: str) -> None:
    """Keep of what was learnt (and of the seeds) as little as passes the same ways through our code.

    libFuzzer's own merge starts itself anew as a program, which a Python module is not.
    """
    files = (file for folder in (name, "seeds") for file in (WORK / folder).iterdir())
    least = coverage.minimise(targets.TARGETS[name], [file.read_bytes() for file in files])
    count = corpus.pack(name, least)
    print(f"{name}: {count} files, {corpus.path(name).stat().st_size} bytes in {corpus.path(name).relative_to(ROOT)}")


def _command(target: str, *flags: str) -> list[str]:
    limits = (f"-timeout={SLOWEST_S}", f"-max_len={LONGEST_BYTES}", "-print_final_stats=1")
    return [sys.executable, "-m", "tests.fuzz.one", target, *limits, *flags]


def _replay(names: list[str], findings: list[Path]) -> int:
    status = 0
    for path in findings:
        for name in names or list(targets.TARGETS):
            begun = time.monotonic()
            try:
                outcome = str(targets.TARGETS[name](path.read_bytes()))
            except Exception:  # noqa: BLE001 - whatever it is, it is the finding that was asked for
                outcome, status = traceback.format_exc(), 1
            print(f"{path.name} {name} {time.monotonic() - begun:.2f} s: {outcome}")
    return status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("findings", nargs="*", type=Path, metavar="FINDING", help="only replay these files")
    parser.add_argument("--minutes", type=float, default=30, help="shared by the targets (default: 30)")
    parser.add_argument("--target", action="append", choices=list(targets.TARGETS), help="default: all")
    parser.add_argument("--merge", action="store_true", help="minimise what was learnt into the tests' corpus")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
