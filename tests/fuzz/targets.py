"""What any bytes may do to the box: be taken, or be refused with a code and a sentence.  Anything else is a finding.

`door` is what the gateway does with an object before it acknowledges it, `child` what the decode child does with a
file.  Neither needs atheris: `make test` replays what was found with plain pytest.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from firmware_app.core.child_messages import ChildMessage
from firmware_app.core.language import LANGUAGES
from firmware_app.core.records import Header
from firmware_app.dicom import file_meta, picture_formats
from firmware_app.dicom.errors import IntakeError
from firmware_app.dicom.header import MAGIC, PREAMBLE_BYTES, examine_descriptor, looks_like_data_set
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.reading import decoder
from firmware_app.reading.children import decode_child

SPEC: Final = InputSpec("input", 24, 20)
BUDGET: Final = 3
_HEAD_BYTES: Final = PREAMBLE_BYTES + len(MAGIC) + 12
_CLASS_NAME: Final = re.compile(r"\b\w+(Error|Exception)\b|\berror\)")
_PREFIXED: Final = slice(PREAMBLE_BYTES, PREAMBLE_BYTES + len(MAGIC))


class Finding(AssertionError):
    """A promise that some bytes broke."""


def door(data: bytes) -> Header | None:
    """The header that the door reads, None for a picture, clip or what is no image; raises only `Finding`s.

    What is taken is also read as the box stores it, with a zeroed preamble and meta information of our own.
    """
    head = data[:_HEAD_BYTES]
    is_dicom = head[_PREFIXED] == MAGIC
    try:
        if not is_dicom and (suffix := picture_formats.detect_format(head)) is not None:
            _on_disk(data, lambda descriptor: picture_formats.check_complete(descriptor, suffix))
            return None
        if not is_dicom and not looks_like_data_set(head):
            return None
        examined = _on_disk(data, examine_descriptor)
    except IntakeError as error:
        _check_sentence(error)
        return None
    header: Header = examined.header
    if not all(0 <= start <= start + length <= len(data) for start, length in examined.pixels):
        raise Finding("pixels outside the file")
    uids = (header.sop_class_uid, header.sop_instance_uid, header.transfer_syntax_uid)
    if is_dicom:
        stored = file_meta.PREAMBLE + data[len(file_meta.PREAMBLE) :]
    elif data.startswith(b"\x02\x00"):
        stored = file_meta.PREAMBLE + data
    else:
        stored = file_meta.encode_file_meta(*uids) + data
    try:
        again = _on_disk(stored, examine_descriptor).header
    except IntakeError as error:
        raise Finding(f"taken, but not readable as it is stored: {error.code}") from error
    if again != header:
        raise Finding("stored, it is another object")
    return header


def child(data: bytes) -> str:
    """The code of the refusal, or ``read``; raises only `Finding`s, for the child must not die of anything else."""
    folder = Path(tempfile.mkdtemp(prefix="lantern-fuzz-"))
    try:
        file = folder / "file"
        file.write_bytes(data)
        is_picture = data[_PREFIXED] != MAGIC and picture_formats.detect_format(data[:_HEAD_BYTES]) is not None
        is_ultrasound = is_picture or b"CS\x02\0US" in data[:4096]
        answers = decode_child.handle_job(
            ChildMessage(
                {
                    "file": str(file),
                    "picture": is_picture,
                    "display": str(folder / "shown"),
                    "input": {**asdict(SPEC), "crop": "sector" if is_ultrasound else "whole"},
                    "rule": "score",
                    "budget": BUDGET,
                    "modality": "US" if is_ultrasound else "CR",
                }
            )
        )
        return _check_answers(list(answers))
    finally:
        shutil.rmtree(folder)


TARGETS: Final[dict[str, Callable[[bytes], object]]] = {"door": door, "child": child}


def _check_answers(answers: list[ChildMessage]) -> str:
    """Hold the answers against what the reader's side believes (`reading.decoder`)."""
    first = answers[0]
    if "refusal" in first.header:
        reason = decoder.parse_refusal(first)
        if reason is None:
            raise Finding(f"a refusal that the reader does not know: {first.header['refusal'].get('code')}")
        if len(answers) != 1 or not all(reason.text(language) for language in LANGUAGES):
            raise Finding(f"more than one answer, or no sentence: {reason.code}")
        if _CLASS_NAME.search(reason.text("en")):
            raise Finding(f"a sentence with the name of a class in it: {reason.text('en')}")
        return reason.code
    tensors = np.asarray(first.arrays["input"])
    read = first.header["read"]
    if not 1 <= len(read) <= BUDGET or max(read) >= first.header["frames"]:
        raise Finding("frames that are not there")
    if tensors.shape != (len(read), SPEC.channels, SPEC.height, SPEC.width) or tensors.dtype != np.float32:
        raise Finding(f"a tensor of {tensors.shape}")
    if not (np.isfinite(tensors).all() and tensors.min() >= 0 and tensors.max() <= 1):
        raise Finding("greys that are no greys")
    return "read"


def _check_sentence(error: IntakeError) -> None:
    if not error.code.startswith("intake.") or not all(error.text(language) for language in LANGUAGES):
        raise Finding(f"no sentence: {error.code}")
    if _CLASS_NAME.search(error.text("en")):
        raise Finding(f"a sentence with the name of a class in it: {error.text('en')}")


def _on_disk(data: bytes, judge: Callable[[int], Any]) -> Any:
    descriptor = os.memfd_create("object", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        return judge(descriptor)
    finally:
        os.close(descriptor)
