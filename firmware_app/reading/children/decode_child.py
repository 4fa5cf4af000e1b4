"""The decode child: opens possibly hostile files; first returns the model's tensor, then writes frames for display.

``python -m firmware_app.reading.children.decode_child FD PARENT MEMORY_MB CPU_SECONDS``. A job is ``{file, picture,
input, display, rule, budget, modality, demands}``. The first answer is the tensors of the
frames to be read with their facts, or a refusal, after which nothing follows; the second is how many frames were
written for people. A job with ``first`` instead of ``input`` writes frames of a long clip in between, from that one on.
An image that is not fit for a model is written for people before it is refused; with an empty ``display`` nothing is
written for people and no second answer follows. Every answer holds the hints so far on how the pixels were interpreted.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from firmware_app.core import child_loop, process
from firmware_app.core.child_messages import ChildMessage
from firmware_app.core.errors import ImagingError
from firmware_app.dicom import patient_data
from firmware_app.imaging import display, image_file, image_properties, model_frames
from firmware_app.imaging.errors import ImageUnfit
from firmware_app.imaging.input_spec import Demands, InputSpec
from firmware_app.reading.errors import IMAGE_FILE_MISSING

_IN_BETWEEN_S: Final = 0.3


class LongClip:
    """The clip whose frames in between are being written: it stays open from one third of a second to the next.

    A clip that cannot be seeked is so decoded once, and not from its beginning each time.  Any other job closes it.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._stack = ExitStack()
        self._film: image_file.ImageFile | None = None

    def open(self, path: Path, is_picture: bool) -> image_file.ImageFile:
        if self._film is None or self._path != path:
            self.close()
            self._film = self._stack.enter_context(image_file.open_image_file(path, is_picture=is_picture))
            self._path = path
        return self._film

    def close(self) -> None:
        self._film = None
        self._stack.close()


_long_clip: Final = LongClip()


def handle_job(job: ChildMessage) -> child_loop.Answers:
    """The answers to one job."""
    path, folder = Path(str(job.header["file"])), Path(str(job.header["display"]))
    shown = bool(job.header["display"])
    peak, going = process.read_peak_bytes(), None
    try:
        if not path.exists():  # a repaired disk may have lost it; a second try would not help
            raise IMAGE_FILE_MISSING()
        if "first" in job.header:
            opened = _long_clip.open(path, bool(job.header["picture"]))
            going = _write_clip_frames(opened, folder, int(job.header["first"]))
            yield ChildMessage({"next": going})
            return
        _long_clip.close()
        with image_file.open_image_file(path, is_picture=bool(job.header["picture"])) as opened:
            if shown:
                _write_patient(opened, folder)  # first, so that a film with broken pixels has a name too
            try:
                answer = _prepare_for_model(opened, path, job.header)
            except ImageUnfit as error:
                answer = child_loop.make_refusal_answer(error)
            if "refusal" in answer.header:  # after the `except`, which holds the pixels in the error's traceback
                if shown:
                    _write_display_frames(opened, folder)
                yield ChildMessage({**answer.header, "hints": opened.hints})
                return
            yield answer
            if shown:
                yield _write_display_frames(opened, folder, answer.header["read"])
    except ImagingError as error:
        yield child_loop.make_failure_answer(error, peak)
    except MemoryError:
        yield child_loop.make_out_of_memory_answer()
    finally:
        if going is None:
            _long_clip.close()


def _prepare_for_model(opened: image_file.ImageFile, path: Path, job: Mapping[str, Any]) -> ChildMessage:
    """The tensors of the frames to be read, or of the volume; only the facts where no pack asks for an input."""
    facts = {"frames": opened.frames, "rows": opened.rows, "columns": opened.columns, "hints": opened.hints}
    if job["input"] is None:
        return ChildMessage({**facts, "read": [opened.frames // 2]})
    spec = InputSpec(**job["input"])
    if spec.depth is not None:
        taken = model_frames.prepare_volume(path, opened.frames, spec)
    else:
        demands = Demands(**job.get("demands", {}))
        taken = model_frames.prepare_frames(opened, spec, job["rule"], job["budget"], job["modality"], demands=demands)
    more = {"read": taken.read, "hints": opened.hints}  # decoding may have added hints
    stated = {"weights": taken.weights, "diagnoses": image_properties.find_diagnoses(opened)}
    prepared = describe_frames(taken)
    return ChildMessage(
        {**facts, **prepared.header, **more, **stated, **describe_image(opened, taken.read[0])}, prepared.arrays
    )


def describe_frames(taken: model_frames.ModelFrames) -> ChildMessage:
    """The tensors of frames with what was measured of them."""
    arrays = {"input": taken.tensors.data}
    if taken.beside is not None:
        arrays["beside"] = taken.beside.data
    if taken.unmarked is not None:
        arrays["unmarked"] = taken.unmarked.data
    measured = {"quality": taken.quality, "watched": dict(taken.watched)}
    return ChildMessage({"box": taken.box, "coloured": taken.coloured or 0.0, "flow": taken.flow, **measured}, arrays)


def describe_image(opened: image_file.ImageFile, frame: int) -> dict[str, Any]:
    """The scales and the aspect of its pixels, and the frame rate."""
    scales = [asdict(scale) for scale in image_properties.pixel_scales(opened, frame)]
    return {"scales": scales, "rate_hz": image_properties.frame_rate(opened), "aspect": opened.aspect(frame)}


def _write_patient(opened: image_file.ImageFile, folder: Path) -> None:
    """Write what the file says of the patient, for people; a failure to write does not stop the reading."""
    with suppress(OSError):
        patient_data.write_identity(opened.identity, folder)


def _write_display_frames(opened: image_file.ImageFile, folder: Path, read: Sequence[int] = ()) -> ChildMessage:
    """Write frames for people, the *read* ones among them; answers how many, 0 when the disk refuses them."""
    among = display.select_display_frames(opened.frames, read)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for index in among:
            display.write_frame(image_properties.make_display_frame(opened, index), folder, index, opened.frames, among)
    except OSError:
        return ChildMessage({"displayed": 0})
    return ChildMessage({"displayed": len(among), "hints": opened.hints})


def _write_clip_frames(opened: image_file.ImageFile, folder: Path, first: int) -> int | None:
    """Write frames of a clip from *first* on that are not there yet, as light pictures, for a third of a second.

    The frame to go on with, which is *first* where the disk takes none; None when all are there.
    """
    index, begun = first, time.monotonic()
    try:
        while index < opened.frames and (index == first or time.monotonic() - begun < _IN_BETWEEN_S):
            if not display.is_frame_written(folder, index):
                display.write_light_frame(
                    image_properties.make_display_frame(opened, index), folder, index, opened.frames
                )
            index += 1
        if index == opened.frames:
            display.mark_complete(folder)
    except OSError:
        return min(index, opened.frames - 1)
    except ValueError:  # what was written with the reading is gone
        return None
    return index if index < opened.frames else None


def main() -> int:
    """Body of the process."""
    descriptor, parent, memory_mb, cpu_seconds = sys.argv[1:5]
    child_loop.die_with_parent(int(parent))
    # Libraries quote values that they cannot parse, and these may be a patient's.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    child_loop.confine(int(memory_mb))
    with socket.socket(fileno=int(descriptor)) as channel:
        return child_loop.serve_jobs(channel, handle_job, float(cpu_seconds))


if __name__ == "__main__":
    sys.exit(main())
