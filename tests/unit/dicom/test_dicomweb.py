"""What DICOMweb takes and gives: media types as RFC 9110 and bodies as RFC 2046 allow them, whoever writes them."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as some

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import qido_rs, stow_rs, wado_rs
from firmware_app.dicom.dicomweb_server import create_app
from firmware_app.dicom.media_types import choose_media_type
from firmware_app.dicom.query_keys import InvalidQuery, create_matcher
from firmware_app.ingest.intake import ImageIntake
from tests.objects import file_of, film

STUDIES = "/dicom-web/studies"
QUOTED = 'multipart/related; type="application/dicom"; boundary=b'


@pytest.fixture
def door(tmp_path: Path) -> Iterator[ImageIntake]:
    state = StateDir(tmp_path / "state")
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    yield ImageIntake(state, clinical, high_water_free_mb=1, max_object_mb=64)
    clinical.database.close()


@pytest.fixture
def client(door: ImageIntake) -> FlaskClient:
    return create_app(door).test_client()


def multipart(content: bytes, boundary: str = "b", head: str = "Content-Type: application/dicom\r\n") -> bytes:
    return f"--{boundary}\r\n{head}\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()


# --- STOW-RS: the Content-Type --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (QUOTED, "b"),
        ("multipart/related; type=application/dicom; boundary=b", "b"),  # OHIF, Cornerstone, dcm4chee's example
        ("multipart/related;type=application/dicom;boundary=b", "b"),
        ('Multipart/Related; Type="Application/DICOM"; BOUNDARY=b', "b"),
        ("MULTIPART/RELATED ; TYPE=APPLICATION/DICOM ; boundary = b", "b"),
        ('multipart/related; boundary="a b\'()+_,-./:=?"; type="application/dicom"', "a b'()+_,-./:=?"),
        ('multipart/related; boundary="a\\b"; type="application/dicom"', "ab"),  # a quoted-pair
        ("multipart/related; boundary=----=_Part_12.34/5; type=application/dicom", "----=_Part_12.34/5"),
        (
            (
                'multipart/related; type="application/dicom"; start="<1@x>"; boundary=b;'
                " transfer-syntax=1.2.840.10008.1.2.1"
            ),
            "b",
        ),
        ('multipart/related; type="application/dicom; transfer-syntax=1.2.840.10008.1.2.1"; boundary=b', "b"),
        ("multipart/related; boundary=b", "b"),
    ],
)
def test_a_media_type_is_read_whatever_its_case_and_quotes(
    client: FlaskClient, door: ImageIntake, content_type: str, boundary: str
) -> None:
    answer = client.post(STUDIES, data=multipart(file_of(film()), boundary), content_type=content_type)
    assert (answer.status_code, door.clinical.count_unread()) == (200, 1), answer.text


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ('multipart/related; type="application/dicom+json"; boundary=b', 415),
        ("multipart/mixed; boundary=b", 415),
        ("multipart/form-data; boundary=b", 415),
        ("application/json", 415),
        ("", 415),
        ("multipart/related; type=application/dicom", 400),
        ('multipart/related; boundary=""', 400),
    ],
)
def test_a_media_type_that_is_not_stored_is_named_in_the_answer(
    client: FlaskClient, door: ImageIntake, content_type: str, status: int
) -> None:
    answer = client.post(STUDIES, data=multipart(file_of(film())), headers={"Content-Type": content_type})
    assert (answer.status_code, door.clinical.count_unread()) == (status, 0)
    assert status != 415 or (content_type or "nothing") in answer.text


# --- STOW-RS: the body (RFC 2046 5.1.1, RFC 5322 2.2.3) -------------------------------------------------------------

CONTENT = file_of(film())
HEAD = b"Content-Type: application/dicom\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"This is a preamble.\r\nIt is to be ignored.\r\n--b\r\n" + HEAD + CONTENT + b"\r\n--b--\r\n",
        b"\r\n\r\n--b\r\n" + HEAD + CONTENT + b"\r\n--b--",
        b"--b \t \r\n" + HEAD + CONTENT + b"\r\n--b-- \t\r\nThis is the epilogue.\r\n--b\r\nto be ignored",
        b"--b\r\nContent-Type: application/dicom;\r\n\ttransfer-syntax=1.2.840.10008.1.2.1\r\n"
        b"Content-Location:\r\n http://pacs/1\r\n\r\n" + CONTENT + b"\r\n--b--\r\n",
        b"--b\r\ncontent-TYPE:application/dicom\r\nCONTENT-length: 7\r\nMIME-Version:1.0\r\n\r\n"
        + CONTENT
        + b"\r\n--b--\r\n",
        b"--b\r\n\r\n" + CONTENT + b"\r\n--b--\r\n",
        b"--b\nContent-Type: application/dicom\n\n" + CONTENT + b"\n--b--\n",
        b"--b\r\n" + HEAD + CONTENT + b"\r\n--b  \r\n" + HEAD + CONTENT + b"\r\n--b--\r\n",
    ],
    ids=[
        "preamble",
        "empty lines",
        "blanks and epilogue",
        "folded headers",
        "other headers",
        "no headers",
        "line feeds",
        "blanks between",
    ],
)
def test_a_multipart_is_read_as_the_standard_of_mail_allows_it(
    client: FlaskClient, door: ImageIntake, body: bytes
) -> None:
    answer = client.post(STUDIES, data=body, content_type=QUOTED)
    assert (answer.status_code, door.clinical.count_unread()) == (200, 1), answer.text
    assert answer.json is not None
    assert "00081198" not in answer.json


@pytest.mark.parametrize(
    "body",
    [b"", b"--b--\r\n", b"no boundary", b"--b\r\n" + HEAD + CONTENT, b"--bb\r\n" + HEAD + CONTENT + b"\r\n--bb--"],
)
def test_a_body_without_a_whole_object_is_refused_with_a_sentence(
    client: FlaskClient, door: ImageIntake, body: bytes
) -> None:
    answer = client.post(STUDIES, data=body, content_type=QUOTED)
    assert (answer.status_code, answer.mimetype, door.clinical.count_unread()) == (400, "text/plain", 0)
    assert list(door.state.incoming.iterdir()) == []


def test_a_body_that_is_cut_after_a_whole_object_says_that_one_of_them_is_not_stored(
    client: FlaskClient, door: ImageIntake
) -> None:
    second = b"\r\n--b\r\n" + HEAD + CONTENT[:-9]
    answer = client.post(STUDIES, data=b"--b\r\n" + HEAD + CONTENT + second, content_type=QUOTED)
    assert answer.json is not None
    counts = [len(answer.json[tag]["Value"]) for tag in ("00081199", "00081198")]
    assert (answer.status_code, counts, door.clinical.count_unread()) == (202, [1, 1], 1)
    assert list(door.state.incoming.iterdir()) == []


class Kept:
    """A taker that keeps the parts."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def begin(self) -> None:
        self.parts.append(b"")

    def data(self, piece: memoryview) -> None:
        self.parts[-1] += piece

    def end(self) -> None:
        pass


class Trickle(io.BytesIO):
    """A body of which a read returns *step* bytes."""

    def __init__(self, content: bytes, step: int) -> None:
        super().__init__(content)
        self._step = step

    def read(self, _: int | None = -1) -> bytes:
        return super().read(self._step)


@given(
    some.lists(
        some.lists(some.sampled_from([b"\r", b"\n", b"-", b"--b", b"--B", b"\r\n--", b"x", b" "])).map(b"".join)
    ),
    some.integers(1, 40),
)
def test_the_parts_are_the_same_bytes_wherever_the_reads_cut(contents: list[bytes], step: int) -> None:
    limit = "an=unlikely:boundary"
    body = b"".join(b"\r\n--" + limit.encode() + b"\t\r\nA: b\r\n c\r\n\r\n" + content for content in contents)
    kept = Kept()
    stow_rs.read_objects(Trickle(b"before" + body + f"\r\n--{limit}--after".encode(), step), limit.encode(), kept)
    assert kept.parts == contents


def test_a_large_object_is_never_whole_in_memory() -> None:
    class Large(io.RawIOBase):
        pieces = iter([b"--b\r\n\r\n", *[bytes(1 << 18)] * 256, b"\r\n--b--"])

        def read(self, _: int = -1) -> bytes:
            return next(self.pieces, b"")

    class Counted(Kept):
        count = 0

        def data(self, piece: memoryview) -> None:
            self.count += len(piece)

    tracemalloc.start()
    taker = Counted()
    stow_rs.read_objects(Large(), b"b", taker)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taker.count == 64 << 20
    assert peak < 4 << 20


# --- WADO-RS and QIDO-RS: what a client accepts (RFC 9110 12.5.1, PS3.18 8.3.3.1 and 8.7.5) --------------------------

SYNTAX = "1.2.840.10008.1.2.1"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "multipart/related"),
        ("*/*", "multipart/related"),
        ("multipart/*", "multipart/related"),
        ("multipart/related", "multipart/related"),
        ("application/*", "application/dicom"),
        ("multipart/related; type=application/dicom", "multipart/related"),
        ('Multipart/Related; Type="Application/Dicom"', "multipart/related"),
        ("multipart/related; type=application/dicom; transfer-syntax=*", "multipart/related"),
        (f'multipart/related; type="application/dicom";transfer-syntax="{SYNTAX}"', "multipart/related"),
        ("multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50", None),
        ("multipart/related; transfer-syntax=1.2.840.10008.1.2.4.50, multipart/related", "multipart/related"),
        ("multipart/related; type=image/jpeg", None),
        ("text/html", None),
        ("text/html, */*;q=0.1", "multipart/related"),
        ("application/dicom", "application/dicom"),
        ("APPLICATION/DICOM", "application/dicom"),
        ("multipart/related; type=application/dicom; q=0.2, application/dicom; q=0.7", "application/dicom"),
        ("application/dicom; q=0.2, multipart/related; type=application/dicom", "multipart/related"),
        ("multipart/related; type=application/dicom; q=0, */*", "application/dicom"),
        ("*/*; q=0", None),
        ("application/dicom;q=0, multipart/related;q=0.000", None),
    ],
)
def test_the_form_of_an_answer_is_the_one_that_the_client_weighs_most(accept: str, form: str | None) -> None:
    best = choose_media_type(wado_rs.list_media_types("application/dicom", may_be_bare=True), accept)
    assert (best and best.name) == form


# --- QIDO-RS: the keys (PS3.4 C.2.2.2, PS3.18 8.3.4) ----------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        ("StudyDate", "2026*"),
        ("StudyDate", "2026-13-45"),
        ("StudyDate", "20261345"),
        ("StudyTime", "2500"),
        ("StudyDate", "20261231-20260101"),
        ("StudyInstanceUID", "1.2.*"),
        ("0020000E", "one"),
        ("PatientID", "A\\B"),
        ("PatientName", "A\\B"),
        ("AcquisitionDateTime", "2026-2027"),
        ("ReferencedStudySequence", "x"),
        ("00080050", "A\\B"),
    ],
)
def test_a_key_that_cannot_be_matched_is_no_question(key: tuple[str, str]) -> None:
    with pytest.raises(InvalidQuery):
        qido_rs.parse_query([key])


@pytest.mark.parametrize(
    ("vr", "wanted", "fitting", "others"),
    [
        ("DA", "20261125-", ["20261125", "20270101"], ["20261124", ""]),
        ("DA", "- 20261125", ["19000101", "20261125"], ["20261126", ""]),
        ("TM", "10", ["100000", "105959.999999", "10"], ["110000", "095959", ""]),
        ("TM", "-0015", ["000000", "001559"], ["001600", ""]),
        ("TM", "1000-12", ["100000", "125959"], ["130000"]),
        ("UI", "1.2\\1.3\0", ["1.2", "1.3"], ["1.4", ""]),
        ("CS", "CR\\DX", ["CR", "DX"], ["CT", "CR\\DX", ""]),
        ("AE", "A? \\B*", ["A1", "BOX"], ["A", ""]),
        ("CS", "\\", ["CR", ""], []),
        ("LO", "*", ["x", ""], []),
        ("LO", '""', [""], ["x"]),
        ("DA", '""', [""], ["20261125"]),
        ("UI", "*", ["1.2", ""], []),
        ("PN", "doe^j*", ["DOE^JANE", "Doe^John^^Dr"], ["DOE", "DOEN^JANE"]),
    ],
)
def test_a_key_matches_as_the_standard_says(vr: str, wanted: str, fitting: list[str], others: list[str]) -> None:
    fits = create_matcher(vr, wanted)
    assert [value for value in (*fitting, *others) if fits(value)] == fitting
