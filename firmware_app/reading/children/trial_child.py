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

from firmware_app.core import child_loop
from firmware_app.core.child_messages import ChildMessage
from firmware_app.core.errors import LanternError
from firmware_app.packs.execution_variants import ExecutionVariant
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.reading.children import golden_cases


def handle_job(job: ChildMessage) -> child_loop.Answers:
    """The one answer to a job."""
    head = job.header
    if head["job"] == "probe":
        yield ChildMessage({"probe": asdict(registry.probe_runtime(str(head["runtime"])))})
    else:
        yield _try(head)


def _try(job: Any) -> ChildMessage:
    try:
        pack = Pack.load(Path(str(job["folder"])))
        tried = golden_cases.run_variant(
            pack, ExecutionVariant(str(job["runtime"]), str(job["precision"])), job["settings"]
        )
    except LanternError as error:
        return child_loop.make_refusal_answer(error)
    return ChildMessage({"tried": asdict(tried)})


def main() -> int:
    """Body of the process."""
    descriptor, parent, memory_mb, cpu_seconds = sys.argv[1:5]
    child_loop.die_with_parent(int(parent))
    child_loop.confine(int(memory_mb))
    with socket.socket(fileno=int(descriptor)) as channel:
        return child_loop.serve_jobs(channel, handle_job, float(cpu_seconds))


if __name__ == "__main__":
    sys.exit(main())
