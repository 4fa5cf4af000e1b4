"""The edges of an age: what is still believed, one year on either side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firmware_app.headers import age
from firmware_app.records import Header

HEADER = Header("1.2.840.10008.5.1.4.1.1.1", "1.2.3.1", "1.2.3", "1.2.3.9", "1.2.840.10008.1.2", modality="CR")


@pytest.mark.parametrize(
    ("said", "born", "found"),
    [
        ("120Y", None, 120),
        ("121Y", None, age.NotKnown.UNCLEAR),
        (None, "19061121", 120),
        (None, "19051121", age.NotKnown.UNCLEAR),
        ("034Y", "19901121", 34),
        ("034Y", "19891121", age.NotKnown.UNCLEAR),
        ("034Y", "19941121", 34),
        ("034Y", "19951121", age.NotKnown.UNCLEAR),
        (None, "19921122", 33),
        (None, "19921121", 34),
    ],
)
def test_an_age_is_believed_up_to_here(said: str | None, born: str | None, found: int | age.NotKnown) -> None:
    header = replace(HEADER, patient_age=said, birth_date=born, study_date="20261121")
    assert age.stated(header) == found
