"""The result child: reads the headers of a case's images and writes the case's result objects.

``python -m firmware_app.results.dicom_objects.result_child FD PARENT MEMORY_MB CPU_SECONDS``.  A job is ``{out,
described}`` with the `CaseView` as JSON in the array ``view``, and its printed report in the array ``pdf`` where there
is one;
*described*: each file gets its description (`description`) beside it.  The answers are ``{object: {…}}`` for each file
in *out*, durable by then, and ``{finished: true}``, or a refusal, or ``{unwritten: ERRNO}`` where the disk takes no
more.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Final

from firmware_app.core import child_loop
from firmware_app.core.child_messages import ChildMessage
from firmware_app.core.errors import ImagingError
from firmware_app.results.case_view import case_view_adapter

_UNWRITTEN: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def work(job: ChildMessage) -> child_loop.Answers:
    """The answers to one job."""
    from firmware_app.results.dicom_objects import dicomweb_metadata, objects

    try:
        view = case_view_adapter().validate_json(job.arrays["view"].tobytes())
        folder = Path(str(job.header["out"]))
        pdf = job.arrays["pdf"].tobytes() if "pdf" in job.arrays else None
        for result_object in objects.make_objects(view, pdf):
            path = objects.write_object(result_object, folder)
            with path.open("rb") as file:
                os.fsync(file.fileno())
            if job.header.get("described"):
                dicomweb_metadata.write_metadata(path)
            facts = {
                "file": path.name,
                "kind": result_object.kind,
                "bytes": path.stat().st_size,
                "sop_class_uid": str(result_object.data_set.SOPClassUID),
                "sop_instance_uid": str(result_object.data_set.SOPInstanceUID),
            }
            yield ChildMessage({"object": facts})
        yield ChildMessage({"finished": True})
    except ImagingError as error:
        yield child_loop.make_refusal_answer(error)
    except MemoryError:
        yield child_loop.make_out_of_memory_answer()
    except OSError as error:
        if error.errno not in _UNWRITTEN:
            raise
        yield ChildMessage({"unwritten": error.errno})


def main() -> int:
    """Body of the process."""
    descriptor, parent, memory_mb, cpu_seconds = sys.argv[1:5]
    child_loop.die_with_parent(int(parent))
    logging.disable(logging.CRITICAL)  # highdicom logs names that it finds odd
    child_loop.confine(int(memory_mb))
    with socket.socket(fileno=int(descriptor)) as channel:
        return child_loop.serve_jobs(channel, work, float(cpu_seconds))


if __name__ == "__main__":
    sys.exit(main())
