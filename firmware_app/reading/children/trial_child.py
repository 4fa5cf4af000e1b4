"""The trial child: probes or tries one runtime in a process that may crash or hang, and that ends afterwards.

``python -m firmware_app.reading.children.trial_child FD PARENT MEMORY_MB CPU_SECONDS``.  Jobs are ``{job: probe,
runtime}`` and ``{job: try, folder, runtime, precision, settings}``.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from firmware_app.core.children import child_loop, confinement
from firmware_app.core.children.wire import ChildMessage
from firmware_app.core.errors import LanternError
from firmware_app.packs.runtimes import choice
from firmware_app.packs.shelf import Pack
from firmware_app.packs.ways import Way
from firmware_app.reading.children import golden_cases


def work(job: ChildMessage) -> child_loop.Answers:
    """The one answer to a job."""
    head = job.header
    if head["job"] == "probe":
        yield ChildMessage({"probe": asdict(choice.probe(str(head["runtime"])))})
    else:
        yield _try(head)


def _try(job: Any) -> ChildMessage:
    try:
        pack = Pack.load(Path(str(job["folder"])))
        tried = golden_cases.attempt(pack, Way(str(job["runtime"]), str(job["precision"])), job["settings"])
    except LanternError as error:
        return child_loop.refusal(error)
    return ChildMessage({"tried": asdict(tried)})


def main() -> int:
    """Body of the process."""
    descriptor, parent, memory_mb, cpu_seconds = sys.argv[1:5]
    confinement.die_with(int(parent))
    confinement.confine(int(memory_mb))
    with socket.socket(fileno=int(descriptor)) as channel:
        return child_loop.serve(channel, work, float(cpu_seconds))


if __name__ == "__main__":
    sys.exit(main())
