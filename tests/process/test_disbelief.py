"""The decode child opens hostile files, so its word counts only in the form that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_app.core.child_process import Child, ChildLost
from firmware_app.core.records import Reason
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.reading.decoder import DecodedImage, Decoder

SPEC = InputSpec("image", 8, 8)
FACTS = {"read": [0], "frames": 1, "rows": 9, "columns": 9}
SHAPE = [1, SPEC.channels, SPEC.height, SPEC.width]
COUNT = SPEC.channels * SPEC.height * SPEC.width


class LyingDecoder(Decoder):
    """A decoder whose child is one that says what the test wants."""

    def __init__(self, header: dict[str, Any], zeros: int) -> None:
        self._said = json.dumps({"header": header, "zeros": zeros})
        super().__init__(256, 10.0)

    def _spawn(self) -> Child:
        return Child("tests.process.liar", (self._said,))


@contextmanager
def open_lying_decoder(header: dict[str, Any], zeros: int = 0) -> Iterator[Decoder]:
    decoder = LyingDecoder({"_arrays": [], **header}, zeros)
    try:
        yield decoder
    finally:
        decoder.close()


def ask_decoder(decoder: Decoder) -> DecodedImage | Reason:
    return decoder.begin(Path("film.dcm"), False, SPEC, Path("shown"))


@pytest.mark.parametrize(
    ("header", "zeros"),
    [
        pytest.param(FACTS, 0, id="no tensor"),
        pytest.param({**FACTS, "_arrays": [["other", "f", SHAPE]]}, 4 * COUNT, id="a tensor of another name"),
        pytest.param({**FACTS, "_arrays": [["input", "f", [1, 1, 64, 1]]]}, 256, id="another shape"),
        pytest.param({**FACTS, "_arrays": [["input", "B", SHAPE]]}, COUNT, id="another type"),
        pytest.param({**FACTS, "rows": -1, "_arrays": [["input", "f", SHAPE]]}, 4 * COUNT, id="less than no rows"),
        pytest.param({**FACTS, "rows": "9", "_arrays": [["input", "f", SHAPE]]}, 4 * COUNT, id="rows in words"),
        *(
            pytest.param({**FACTS, **said, "_arrays": [["input", "f", SHAPE]]}, 4 * COUNT, id=name)  # type: ignore[dict-item]
            for name, said in {
                "no frame read": {"read": []},
                "a frame that is not there": {"read": [1]},
                "more frames than asked for": {"frames": 3, "read": [0, 1]},
                "frames in words": {"read": "0"},
                "a box beyond the film": {"box": [0, 0, 10, 9]},
                "a box of nothing": {"box": [3, 0, 3, 9]},
                "half a box": {"box": [0, 0]},
            }.items()
        ),
        *(
            pytest.param(
                {**FACTS, "_arrays": [["input", "f", SHAPE], ["beside", kind, shape]]}, 4 * COUNT + size, id=name
            )
            for name, kind, shape, size in (
                ("cells of another shape", "B", [1, 8, 8], 64),
                ("cells of another type", "f", [1, 64, 64], 4 * 64 * 64),
                ("cells of more frames than were read", "B", [2, 64, 64], 2 * 64 * 64),
            )
        ),
        pytest.param({"refusal": {"code": "imaging.new", "details": {}}}, 0, id="a refusal of no known code"),
        pytest.param({"refusal": {"code": "imaging.undecodable", "details": {}}}, 0, id="a refusal without its detail"),
        pytest.param({"refusal": "imaging.undecodable"}, 0, id="a refusal that is a word"),
    ],
)
def test_any_other_form_is_nonsense_and_costs_the_child(header: dict[str, Any], zeros: int) -> None:
    with open_lying_decoder(header, zeros) as decoder:
        decoder.warm()
        before = decoder.pid
        with pytest.raises(ChildLost):
            ask_decoder(decoder)
        assert decoder.pid != before


def test_a_child_that_is_out_of_time_is_replaced_while_the_image_is_set_down() -> None:
    decoder = Decoder(256, 1e-6)
    try:
        decoder.warm()
        before = decoder.pid
        with pytest.raises(ChildLost):
            ask_decoder(decoder)
        assert decoder.pid != before
        decoder.warm()
    finally:
        decoder.close()


def test_a_long_detail_is_cut() -> None:
    with open_lying_decoder(
        {"refusal": {"code": "imaging.undecodable", "details": {"detail": "x" * 5000, "more": 1}}}
    ) as decoder:
        answer = ask_decoder(decoder)
    assert answer == Reason("imaging.undecodable", {"detail": "x" * 200})
