"""`lantern-hospital summaries`: a list of any length takes no memory, and ends when its reader does."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from hospital import cli
from hospital.hospital_site import HospitalSite
from hospital.inbox import inbox_tables
from hospital.inbox.inbox_db import Inbox

BEGUN = datetime(2026, 11, 22, tzinfo=UTC)


def add_cases(inbox: Inbox, number: int) -> None:
    """Case revisions of two boxes in turn, ten at the same moment."""
    rows = (
        (
            f"clinic-{at % 2}",
            f"c-{at:020x}",
            1,
            "routine",
            None,
            '{"findings": []}',
            (BEGUN + timedelta(seconds=at // 10)).isoformat(timespec="milliseconds"),
        )
        for at in range(number)
    )
    with inbox.transaction() as connection:
        connection.executemany("INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def read_printed_cases(house: HospitalSite, capsys: pytest.CaptureFixture[str], *options: str) -> list[int]:
    """The numbers of the cases that the command prints."""
    since = () if "--since" in options else ("--since", "all")
    assert cli.main(["summaries", "--json", "--dir", str(house.root), *since, *options]) == 0
    return [int(json.loads(line)["case"][2:], 16) for line in capsys.readouterr().out.splitlines()]


def test_a_long_list_is_never_in_memory_as_a_whole(inbox: Inbox) -> None:
    add_cases(inbox, 30_000)
    rows = inbox_tables.stream_cases(inbox.connection)
    first = next(rows)
    with inbox.transaction() as connection:  # what comes while the list is read is on it: nothing was read ahead
        connection.execute("INSERT INTO cases SELECT 'late', 'c', 1, 'routine', NULL, NULL, '2099' WHERE true")
    tracemalloc.start()
    try:
        last, number = first, 1
        for number, last in enumerate(rows, start=2):  # noqa: B007
            pass
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (number, last.box) == (30_001, "late")
    assert most < 4_000_000, "the rows alone are 15 MB"


def test_the_list_is_of_one_box_and_from_a_time_on_where_it_is_asked_so(
    house: HospitalSite, inbox: Inbox, capsys: pytest.CaptureFixture[str]
) -> None:
    add_cases(inbox, 2500)
    assert read_printed_cases(house, capsys) == list(range(2500))
    assert read_printed_cases(house, capsys, "--box", "clinic-1") == list(range(1, 2500, 2))
    assert read_printed_cases(house, capsys, "--since", "2026-11-22T08:03:20+08:00") == list(range(2000, 2500))
    assert read_printed_cases(house, capsys, "--since", "2026-11-22T00:03:20", "--box", "clinic-0") == list(
        range(2000, 2500, 2)
    )
    with pytest.raises(SystemExit) as ended:
        cli.main(["summaries", "--since", "yesterday"])
    assert ended.value.code == 2


def test_without_a_time_the_last_30_days_are_listed_and_what_is_left_out_is_said(
    house: HospitalSite, inbox: Inbox, capsys: pytest.CaptureFixture[str]
) -> None:
    def came(case: int, ago: timedelta) -> None:
        moment = (datetime.now(UTC) - ago).isoformat(timespec="milliseconds")
        with inbox.transaction() as connection:
            connection.execute(
                "INSERT INTO cases VALUES ('clinic-1', ?, 1, 'routine', NULL, NULL, ?)", (f"c-{case:020x}", moment)
            )

    def lists(*options: str) -> tuple[int, bool]:
        assert cli.main(["summaries", "--dir", str(house.root), *options]) == 0
        said = capsys.readouterr()
        return len(said.out.splitlines()), "--since all" in said.err

    came(1, timedelta(days=29))
    assert lists() == (1, False), "nothing is left out, so there is nothing to say"
    came(2, timedelta(days=31))
    assert [lists(), lists("--json")] == [(1, True)] * 2
    assert lists("--box", "clinic-2") == (0, False)
    assert [lists("--since", "all"), lists("--json", "--since", "all")] == [(2, False)] * 2


def test_a_list_whose_reader_has_gone_ends_without_a_word(house: HospitalSite, inbox: Inbox) -> None:
    add_cases(inbox, 5000)
    command = [sys.executable, "-m", "hospital.cli", "summaries", "--json", "--since", "all", "--dir", str(house.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        assert json.loads(listing.stdout.readline())["box"] == "clinic-0"
        listing.stdout.close()
        said = listing.stderr.read()
    assert (listing.returncode, said) == (141, b"")
