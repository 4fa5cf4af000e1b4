"""What a task says of a frame is in pixels of the original, within it, and no more than a person can look at."""

import pytest

from firmware_app.core.records import Lesion
from firmware_app.packs.tasks.interface import MOST_LESIONS, Answer, Frame, check_answer

FRAME = Frame(rows=100, columns=200, number=3, box=(20, 10, 120, 60), instance="i-1")


def test_fractions_of_what_the_model_saw_become_pixels_of_the_original() -> None:
    assert FRAME.place_box(0.0, 0.5, 0.25, 1.0) == (20.0, 35.0, 45.0, 60.0)
    assert FRAME.place_box(-1.0, 0.0, 2.0, 1.0) == (20.0, 10.0, 120.0, 60.0)
    assert Frame(100, 200).place_box(0.5, 0.5, 1.0, 1.0) == (100.0, 50.0, 200.0, 100.0)


@pytest.mark.parametrize(
    "lesions",
    [
        (Lesion("i-1", 3, (150, 10, 201, 20), 0.9),),
        (Lesion("i-1", 2, (1, 1, 2, 2), 0.9),),
        (Lesion("i-2", 3, (1, 1, 2, 2), 0.9),),
        (Lesion("i-1", 3, (1, 1, 2, 2), 0.9),) * (MOST_LESIONS + 1),
    ],
    ids=["beyond the frame", "of another frame", "of another image", "too many"],
)
def test_lesions_that_cannot_be_of_the_frame_are_refused(lesions: tuple[Lesion, ...]) -> None:
    with pytest.raises(ValueError, match="it marks"):
        check_answer(Answer((), lesions), FRAME)
    assert check_answer(Answer((), (Lesion("i-1", 3, (1, 1, 2, 2), 0.9),)), FRAME).lesions
