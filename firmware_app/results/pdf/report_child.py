"""The report child: draws a case's pictures and sets its report.

``python -m firmware_app.results.pdf.report_child FD PARENT MEMORY_MB CPU_SECONDS``.  A job is ``{language}`` with the
`CaseView` as JSON in the array ``view``; the answer is ``{finished: true}`` with the bytes in the array ``pdf``, or a
refusal.
"""

from __future__ import annotations

import logging
import socket
import sys

from firmware_app.core import child_loop
from firmware_app.core.child_messages import ChildMessage
from firmware_app.results.case_view import case_view_adapter
from firmware_app.results.errors import ReportError
from firmware_app.results.pdf import typesetting


def work(job: ChildMessage) -> child_loop.Answers:
    """The answer to one job."""
    try:
        view = case_view_adapter().validate_json(job.arrays["view"].tobytes())
        made = typesetting.typeset_report(view, str(job.header["language"]))
        yield ChildMessage({"finished": True}, {"pdf": memoryview(made)})
    except ReportError as error:
        yield child_loop.make_refusal_answer(error)
    except MemoryError:
        yield child_loop.make_out_of_memory_answer()


def main() -> int:
    """Body of the process."""
    descriptor, parent, memory_mb, cpu_seconds = sys.argv[1:5]
    child_loop.die_with_parent(int(parent))
    logging.disable(logging.CRITICAL)
    child_loop.confine(int(memory_mb))
    with socket.socket(fileno=int(descriptor)) as channel:
        return child_loop.serve_jobs(channel, work, float(cpu_seconds))


if __name__ == "__main__":
    sys.exit(main())
