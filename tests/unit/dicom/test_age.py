"""How old the patient was decides which model may speak; a guess is never made of rubbish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_app.core.records import Header
from firmware_app.dicom.patient_data import AgeUnknown, age_text, parse_age, parse_age_years, parse_birth_date


def header(age: str | None = None, birth: str | None = None, study: str | None = None) -> Header:
    return Header("1.2", "1.3", None, None, "1.2.840.10008.1.2.1", patient_age=age, birth_date=birth, study_date=study)


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("003Y", 3),
        ("3Y", 3),
        ("045y", 45),
        ("011M", 0),
        ("012M", 1),
        ("052W", 0),
        ("053W", 1),
        ("364D", 0),
        ("366D", 1),
        (" 007Y ", 7),
        ("5 岁", 5),
        ("５岁", 5),
        ("5岁".encode("gbk").decode("latin-1"), 5),
        ("18个月", 1),
        ("20天", 0),
        ("045 Y", 45),
        ("5 yrs", 5),
    ],
)
def test_the_stated_age_is_taken_in_completed_years(text: str, years: int) -> None:
    assert parse_age_years(header(text)) == years


UNCLEAR = ["Y", "abcY", "45", "-01Y", "-05Y", "131Y", "999Y", "000Y", "000M", "4 5Y", "0450Y", "٠٤٥Z", "3岁2月", "five"]


@pytest.mark.parametrize("text", UNCLEAR)
def test_an_age_that_is_given_and_not_understood_is_unclear_and_never_absent(text: str) -> None:
    assert parse_age(header(text)) is AgeUnknown.UNCLEAR
    assert parse_age_years(header(text)) is None


@pytest.mark.parametrize(("text", "birth"), [(None, None), ("", ""), (" ", "00000000"), (None, "0000.00.00")])
def test_only_silence_is_absence(text: str | None, birth: str | None) -> None:
    assert parse_age(header(text, birth, "20260101")) is AgeUnknown.ABSENT


@pytest.mark.parametrize(
    ("birth", "study", "years"),
    [
        ("20200615", "20260614", 5),
        ("20200615", "20260615", 6),
        ("2020.06.15", "20260615", 6),
        ("20240229", "20250228", 0),
        ("20260101", "20250101", AgeUnknown.UNCLEAR),
        ("18000101", "20260101", AgeUnknown.UNCLEAR),
        ("20201301", "20260101", AgeUnknown.UNCLEAR),
        ("", "20260101", AgeUnknown.ABSENT),
        ("20200101", None, AgeUnknown.UNCLEAR),
    ],
)
def test_without_a_stated_age_birth_and_study_date_give_it(
    birth: str, study: str | None, years: int | AgeUnknown
) -> None:
    assert parse_age(header(None, birth, study)) == years


@pytest.mark.parametrize(
    ("said", "born", "age"),
    [
        ("120Y", None, 120),
        ("121Y", None, AgeUnknown.UNCLEAR),
        (None, "19061121", 120),
        (None, "19051121", AgeUnknown.UNCLEAR),
        ("034Y", "19901121", 34),
        ("034Y", "19891121", AgeUnknown.UNCLEAR),
        ("034Y", "19941121", 34),
        ("034Y", "19951121", AgeUnknown.UNCLEAR),
        (None, "19921122", 33),
        (None, "19921121", 34),
    ],
)
def test_an_age_is_believed_up_to_here(said: str | None, born: str | None, age: int | AgeUnknown) -> None:
    assert parse_age(header(said, born, "20261121")) == age


@given(st.text(max_size=8), st.text(max_size=10), st.text(max_size=10))
def test_no_text_whatever_raises(age: str, birth: str, study: str) -> None:
    actual = parse_age_years(header(age, birth, study))
    assert actual is None or 0 <= actual <= 120


PLACEHOLDERS = ["19000101", "19010101", "1900.01.01", "18991230", "18000101", "11111111", "00010101", "99991231"]


@pytest.mark.parametrize("study", ["19950302", "20061121", "20261121"])
@pytest.mark.parametrize("birth", PLACEHOLDERS)
def test_a_placeholder_birth_date_is_no_age(birth: str, study: str) -> None:
    assert parse_age(header(None, birth, study)) is AgeUnknown.UNCLEAR
    assert (age_text(header(None, birth, study)), parse_birth_date(birth)) == ("", "")


@pytest.mark.parametrize(
    ("said", "birth", "study"),
    [
        ("126Y", "19000101", "20261121"),
        ("125Y", "19010101", "20261121"),
        ("111Y", "19000101", "20110302"),
        ("094Y", "19010101", "19950302"),
        ("095Y", "19000101", "19950302"),
    ],
)
def test_the_age_that_a_console_computes_from_a_placeholder_is_none_either(said: str, birth: str, study: str) -> None:
    assert parse_age(header(said, birth, study)) is AgeUnknown.UNCLEAR
    assert age_text(header(said, birth, study)) == ""


def test_a_zero_that_nobody_typed_is_not_shown_as_a_newborn() -> None:
    assert age_text(header("000Y", "19700101", "20260102")) == "056Y"
    assert age_text(header("000Y")) == ""


def test_a_real_birth_date_is_kept() -> None:
    assert [parse_birth_date(text) for text in ("20140301", "2014.03.01", "19700101", "", "20141301", None)] == [
        "20140301",
        "20140301",
        "19700101",
        "",
        "",
        "",
    ]
