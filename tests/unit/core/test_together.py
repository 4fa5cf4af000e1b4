"""Several senders at once: one COMMIT for all who wait, and nobody pays for another's fault."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from firmware_app.core.database import Database, GroupCommit
from firmware_app.core.schema import Schema

SENDERS = 8
Work = Callable[[sqlite3.Connection], int]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "clinical" / "test.db")
    made.create(Schema("CREATE TABLE rows (number INTEGER PRIMARY KEY) STRICT;\n"))
    yield made
    made.close()


def insert(number: int) -> Work:
    def write(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO rows VALUES (?)", (number,))
        return number

    return write


def all_at_once(database: Database, works: list[Work]) -> tuple[list[Future[int]], list[str]]:
    """Run *works*, each in a thread of its own, the others coming while the first writes; with what SQLite was told."""
    together, begun = GroupCommit(database), threading.Event()
    statements: list[str] = []

    def first(connection: sqlite3.Connection) -> int:
        begun.set()
        assert wait_for(lambda: len(together._waiting) == len(works) - 1)
        return heard(works[0])(connection)

    def heard(work: Work) -> Work:
        def write(connection: sqlite3.Connection) -> int:
            connection.set_trace_callback(statements.append)
            return work(connection)

        return write

    with ThreadPoolExecutor(len(works)) as threads:
        asked = [threads.submit(together.write, first)]
        assert begun.wait(20)
        asked += [threads.submit(together.write, heard(work)) for work in works[1:]]
        for one in asked:
            one.exception(20)
    return asked, statements


def wait_for(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not what() and time.monotonic() < deadline:
        time.sleep(0.001)
    return what()


def numbers(database: Database) -> list[int]:
    return [row[0] for row in database.connection.execute("SELECT number FROM rows ORDER BY number")]


def test_all_who_come_while_one_writes_share_the_next_commit(database: Database) -> None:
    asked, statements = all_at_once(database, [insert(number) for number in range(SENDERS)])
    assert [one.result() for one in asked] == list(range(SENDERS))
    assert numbers(database) == list(range(SENDERS))
    assert statements.count("COMMIT") == 2  # the first one's, and one for the seven
    assert database.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_write_that_fails_leaves_no_trace_and_costs_the_others_nothing(database: Database) -> None:
    def broken(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO rows VALUES (99)")
        raise ValueError("a header that cannot be")

    asked, _told = all_at_once(database, [insert(0), insert(1), broken, insert(3), insert(1)])
    assert numbers(database) == [0, 1, 3]
    assert isinstance(asked[2].exception(), ValueError)
    failed = [one for one in (asked[1], asked[4]) if one.exception() is not None]  # whoever of the two came second
    assert [type(one.exception()) for one in failed] == [sqlite3.IntegrityError]
    assert [asked[0].result(), asked[3].result()] == [0, 3]


def test_when_the_transaction_itself_fails_nobody_is_told_that_all_is_well(database: Database) -> None:
    def give_up(connection: sqlite3.Connection) -> int:
        connection.execute("ROLLBACK")  # as SQLite does by itself when the disk is full
        raise sqlite3.OperationalError("database or disk is full")

    together = GroupCommit(database)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        together.write(give_up)
    assert together.write(insert(7)) == 7
    assert numbers(database) == [7]


def test_nobody_hears_of_success_when_the_common_transaction_ends_with_no_memory(database: Database) -> None:
    """A thread's own error undoes its own part; what is no error of a part at all undoes them all, and all hear it."""

    def out_of_memory(_connection: sqlite3.Connection) -> int:
        raise SystemExit(1)  # like a lack of memory outside a part: past every savepoint

    together = GroupCommit(database)
    heard: dict[int, BaseException | int] = {}

    def one(number: int, work: Work) -> None:
        try:
            heard[number] = together.write(work)
        except (sqlite3.Error, SystemExit) as error:
            heard[number] = error

    works = [insert(1), insert(2), out_of_memory]
    threads = [threading.Thread(target=one, args=(number, work)) for number, work in enumerate(works)]
    with together._turn:
        for thread in threads:
            thread.start()
        while len(together._waiting) < len(works):
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    assert [number for number, what in heard.items() if isinstance(what, int)] == []
    assert sum(isinstance(what, SystemExit) for what in heard.values()) == 1  # where it was carried out
    assert database.connection.execute("SELECT COUNT(*) FROM rows").fetchone()[0] == 0
    assert together.write(insert(4)) == 4
