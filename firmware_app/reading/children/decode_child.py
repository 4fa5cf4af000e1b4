"""The decode child: opens possibly hostile files; first returns the model's tensor, then writes frames for display.

``python -m firmware_app.reading.children.decode_child FD PARENT MEMORY_MB CPU_SECONDS``.  A job is ``{file, picture,
input, display, rule, budget, modality, quality, photographs}``; the answers are the tensors of the frames to be read
with their facts (or a refusal, then nothing follows), and then how many frames were written for people.  An image that
is not fit for a model is written for people before it is refused.  All of them say how the pixels were understood so
far.
"""

from __future__ import annotations

import logging
import socket
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from firmware_app import address_space
from firmware_app.errors import ImageFileMissing, ImageUnfit, ImagingError
from firmware_app.headers import identity
from firmware_app.imaging import display, film, for_model
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.ultrasound import opened as ultrasound
from firmware_app.reading.children import child_loop, confinement
from firmware_app.reading.children.wire import Message


def work(job: Message) -> child_loop.Answers:
    """The answers to one job."""
    path, folder = Path(str(job.header["file"])), Path(str(job.header["display"]))
    peak = address_space.peak()
    try:
        if not path.exists():  # a disk that was repaired may have lost it; trying again does not bring it back
            raise ImageFileMissing
        with film.opened(path, is_picture=bool(job.header["picture"])) as opened:
            _name(opened, folder)  # first, so that a film whose pixels are broken has a name all the same
            try:
                answer = _for_model(opened, job.header)
            except ImageUnfit as error:  # no model may see it, people may, once what the error holds is free
                answer = child_loop.refusal(error)
            if "refusal" in answer.header:
                _for_people(opened, folder)
                yield Message({**answer.header, "hints": opened.hints})  # people see what was refused
                return
            yield answer
            yield _for_people(opened, folder, answer.header["read"])
    except ImagingError as error:
        yield child_loop.failure(error, peak)
    except MemoryError:
        yield child_loop.out_of_memory()


def _for_model(opened: film.Film, job: Mapping[str, Any]) -> Message:
    """The tensors of the frames that are to be read; without a description of the input, only the facts."""
    facts = {"frames": opened.frames, "rows": opened.rows, "columns": opened.columns, "hints": opened.hints}
    if job["input"] is None:
        return Message({**facts, "read": [opened.frames // 2]})
    care = {"quality": job.get("quality", "none"), "photographs": job.get("photographs", False)}
    taken = for_model.taken(opened, InputSpec(**job["input"]), job["rule"], job["budget"], job["modality"], **care)
    more = {"read": taken.read, "box": taken.box, "hints": opened.hints}  # by now more may be known of the pixels
    colours = {"coloured": taken.coloured, "flow": taken.flow}
    split = {"decode_ms": taken.decode_ms, "prepare_ms": taken.prepare_ms}
    arrays = {"input": taken.tensors.data}
    if taken.beside is not None:
        arrays["beside"] = taken.beside.data
    return Message({**facts, **more, **colours, **split, "quality": taken.quality}, arrays)


def _name(opened: film.Film, folder: Path) -> None:
    """What the file says of the patient, for people; a disk that does not take it costs no reading."""
    with suppress(OSError):
        identity.write(opened.identity, folder)


def _for_people(opened: film.Film, folder: Path, read: Sequence[int] = ()) -> Message:
    """How many frames were written, those that were *read* among them; none when the disk does not take them."""
    among = display.for_people(opened.frames, read)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for index in among:
            display.write(ultrasound.shown(opened, index), folder, index, opened.frames, among)
    except OSError:
        return Message({"displayed": 0})
    return Message({"displayed": len(among), "hints": opened.hints})


def main() -> int:
    """Body of the process."""
    descriptor, parent, memory_mb, cpu_seconds = sys.argv[1:5]
    confinement.die_with(int(parent))
    # Libraries quote the values that they stumble over, and values may be a patient's.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    confinement.confine(int(memory_mb))
    with socket.socket(fileno=int(descriptor)) as channel:
        return child_loop.serve(channel, work, float(cpu_seconds))


if __name__ == "__main__":
    sys.exit(main())
