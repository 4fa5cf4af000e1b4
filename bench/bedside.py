"""How quickly an examination is read while it runs: frames a second, delay, share of dropped frames.

    python -m bench.bedside CLIP [--pack NAME] [--seconds N] [--json]

CLIP, DICOM or video, is played again and again at its own rate (docs/decisions/bedside.md) and read with the shipped
breast pack, as `lantern watch` does it.  The delay runs from the moment a frame is due to its reading.  On a machine
that does other things too, only the processor's time for a frame means anything.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from bench import harness
from firmware_app.core.settings import Config
from firmware_app.packs.pack_folder import find_pack, shipped_packs_dir
from firmware_app.reading.frame_grabber import FrameRefused, FrameSource
from firmware_app.reading.live_session import LiveReading, LiveSession

GOAL_HZ: Final = 15.0
GOAL_MS: Final = 150.0
WARM_UP_S: Final = 3.0


@dataclass
class Samples:
    """What was measured after the warm-up."""

    delays: list[float] = field(default_factory=list)
    grabs: list[float] = field(default_factory=list)
    inferences: list[float] = field(default_factory=list)
    without: int = 0


def main() -> int:
    options = _options()
    config = Config.model_validate({"box": {"language": "en"}})
    pack = find_pack(shipped_packs_dir(), options.pack)
    with tempfile.TemporaryDirectory() as folder:
        watching = LiveSession(FrameSource("file", str(options.clip.absolute()), loop=True), pack, config, Path(folder))
        try:
            figures = _measured(watching, options.seconds)
        except FrameRefused as refused:
            print(refused.reason.text("en"), file=sys.stderr)
            return 1
        finally:
            watching.close()
    figures |= {"pack": f"{pack.name} {pack.manifest.version}", "cores": len(os.sched_getaffinity(0))}
    if options.json:
        print(json.dumps(figures))
    else:
        _print(figures)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.bedside", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("clip", type=Path, metavar="CLIP", help="never for figures of diagnosis, only of speed")
    parser.add_argument("--pack", default="breast-ultrasound", metavar="NAME", help="default: breast-ultrasound")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="N", help="default: 30")
    parser.add_argument("--json", action="store_true", help="on one line")
    return parser.parse_args()


def _measured(watching: LiveSession, seconds: float) -> dict[str, Any]:
    taken, begun, first, last, used = Samples(), 0.0, None, None, 0.0
    family = [psutil.Process()]
    for one in watching.readings():
        if not isinstance(one, LiveReading):
            continue
        now = time.monotonic()
        begun = begun or now
        if now - begun < WARM_UP_S:
            continue
        if first is None:
            first, begun = one, now - WARM_UP_S
            family += psutil.Process().children()
            used = _processor(family)
            started = now
            continue
        last = one
        taken.delays.append(one.delay_ms)
        taken.grabs.append(one.grab_ms)
        taken.inferences.append(one.infer_ms)
        taken.without += one.reason is not None
        harness.progress(f"{len(taken.delays)} frames, delay {one.delay_ms:.0f} ms")
        if now - started > seconds:
            break
    if first is None or last is None:
        raise SystemExit("no frame was read")
    came, dropped = last.counts.came - first.counts.came, last.counts.dropped - first.counts.dropped
    passed = time.monotonic() - started
    return {
        "frames": f"{last.columns} × {last.rows}",
        "seconds": round(passed, 1),
        "source_frames_per_second": round(came / passed, 1),
        "frames_per_second": round(len(taken.delays) / passed, 1),
        "delay_ms_median": round(float(np.median(taken.delays)), 1),
        "delay_ms_95": round(float(np.percentile(taken.delays, 95)), 1),
        "dropped_share": round(dropped / max(1, came), 3),
        "prepare_ms_median": round(float(np.median(taken.grabs)), 1),
        "infer_ms_median": round(float(np.median(taken.inferences)), 1),
        "processor_ms_per_frame": round(1e3 * (_processor(family) - used) / len(taken.delays), 1),
        "without_a_number": taken.without,
        "load_average": round(os.getloadavg()[0], 1),
    }


def _processor(family: list[psutil.Process]) -> float:
    """Seconds of processor time that these processes have used."""
    return float(sum(one.cpu_times().user + one.cpu_times().system for one in family))


def _print(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):28} {value}")
    well = figures["frames_per_second"] >= GOAL_HZ and figures["delay_ms_95"] <= GOAL_MS
    print(f"{'goal':28} at least {GOAL_HZ:.0f} a second, at most {GOAL_MS:.0f} ms: {'reached' if well else 'not here'}")


if __name__ == "__main__":
    sys.exit(main())
