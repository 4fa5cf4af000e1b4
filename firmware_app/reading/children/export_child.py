"""The export child: opens one file after the other and writes it de-identified.

``python -m firmware_app.reading.children.export_child FD PARENT MEMORY_MB CPU_SECONDS``.  A job is ``{file, out, key,
looked}``; the answer is `DeidentifiedFile` as an object, or a refusal, after which a part of *out* may be
left.  ``room_bytes`` in the job limits the size of *out*.  When the disk under *out* takes no more, the answer is
``{unwritten: ERRNO}``.
"""

from __future__ import annotations

import errno
import logging
import socket
import sys
import warnings
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Final

from firmware_app.core import child_loop, process
from firmware_app.core.child_messages import ChildMessage
from firmware_app.core.errors import ImagingError, RuntimeFault
from firmware_app.imaging import deidentification
from firmware_app.imaging.deidentified_header import Pseudonyms
from firmware_app.imaging.errors import ExportError
from firmware_app.imaging.text_detection import TextDetector, text_model_file
from firmware_app.packs.runtimes import onnxruntime
from firmware_app.reading.errors import IMAGE_FILE_MISSING

_UNWRITTEN: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)  # reading never fails with these


def handle_job(job: ChildMessage) -> child_loop.Answers:
    """The answer to one job."""
    path, looked = Path(str(job.header["file"])), bool(job.header["looked"])
    identities, peak = Pseudonyms(bytes.fromhex(str(job.header["key"]))), process.read_peak_bytes()
    try:
        if not path.exists():
            raise IMAGE_FILE_MISSING()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            out, room = Path(str(job.header["out"])), job.header.get("room_bytes")
            done = deidentification.write_deidentified(
                path, out, identities, _load_detector(looked), looked=looked, room_bytes=room
            )
        yield ChildMessage({"written": asdict(done)})
    except (ExportError, ImagingError, RuntimeFault) as error:
        yield child_loop.make_failure_answer(error, peak)
    except MemoryError:
        yield child_loop.make_out_of_memory_answer()
    except OSError as error:
        if error.errno not in _UNWRITTEN:
            raise
        yield ChildMessage({"unwritten": error.errno})


@cache
def _load_detector(looked: bool) -> TextDetector | None:
    file = None if looked else text_model_file()  # None without the extra `ocr`
    return TextDetector(onnxruntime.load(file, onnxruntime.Config(spinning=False))) if file is not None else None


def main() -> int:
    """Body of the process."""
    descriptor, parent, memory_mb, cpu_seconds = sys.argv[1:5]
    child_loop.die_with_parent(int(parent))
    logging.disable(logging.CRITICAL)
    child_loop.confine(int(memory_mb), deidentification.LARGEST_FILE_BYTES)
    with socket.socket(fileno=int(descriptor)) as channel:
        return child_loop.serve_jobs(channel, handle_job, float(cpu_seconds))


if __name__ == "__main__":
    sys.exit(main())
