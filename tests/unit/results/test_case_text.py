"""The list of cases on a terminal."""

from __future__ import annotations

from firmware_app.core.records import Case, FileRecord, FileStatus, Priority, Reason
from firmware_app.dicom.errors import Truncated
from firmware_app.results import case_text

READ = FileRecord("a.dcm", "i-1", FileStatus.READ, None)
AGAIN = FileRecord("b.dcm", "i-1", FileStatus.DUPLICATE, None)
OTHER = FileRecord("c.dcm", "i-2", FileStatus.READ, None)


def images(case: Case) -> int:
    """What stands under ``images``."""
    head = case_text.format_heading()
    end = head.index("images") + len("images")
    return int(case_text.format_row(case, "en")[end - len("images") : end])


def test_an_image_that_was_sent_twice_counts_once() -> None:
    def case(*files: FileRecord) -> Case:
        return Case("c-1", None, "CR", 1, Priority.ROUTINE, files, (), (), ())

    assert [images(case(READ)), images(case(READ, AGAIN)), images(case(READ, AGAIN, OTHER, AGAIN))] == [1, 1, 2]


def test_files_that_belong_to_no_case_count_each() -> None:
    refused = [FileRecord(name, None, FileStatus.REFUSED, Reason(Truncated.code, {})) for name in ("d", "e")]
    assert images(Case(None, None, None, 0, None, tuple(refused), (), (), ())) == 2
