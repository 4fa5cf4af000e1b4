"""The limit on failed log-ins: how long it lasts, and what a success and a wrong clock do to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware_app.store.accounts.accounts_db import ATTEMPT_WINDOW_S, MOST_PAIR, Accounts

HERE = "192.0.2.1"


@dataclass
class Clock:
    """Seconds since 1970, as the test says."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    made = Accounts(tmp_path / "accounts" / "accounts.db", clock)
    made.create()
    yield made
    made.database.close()


def fail(accounts: Accounts, name: str, times: int) -> None:
    for _ in range(times):
        assert accounts.take_try(name, HERE)


def test_the_limit_lasts_a_quarter_of_an_hour(accounts: Accounts, clock: Clock) -> None:
    fail(accounts, "li", MOST_PAIR)
    clock.now += 15 * 60 - 1
    assert not accounts.may_try("li", HERE)
    clock.now += 1
    assert accounts.may_try("li", HERE)
    assert ATTEMPT_WINDOW_S == 15 * 60


def test_a_success_forgives_this_name_from_this_address_only(accounts: Accounts) -> None:
    fail(accounts, "li", MOST_PAIR)
    fail(accounts, "wang", MOST_PAIR - 1)
    accounts.forget_failures("wang", HERE)
    assert not accounts.may_try("li", HERE)
    fail(accounts, "wang", MOST_PAIR)
    assert not accounts.may_try("wang", HERE)


def test_attempts_from_a_clock_that_ran_ahead_are_forgotten(accounts: Accounts, clock: Clock) -> None:
    fail(accounts, "li", MOST_PAIR)
    clock.now -= 3600
    assert accounts.may_try("li", HERE)
