"""Accounts: no default password, codes good once, sessions that end, limits that outlive a restart."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from firmware_app.cases.accounts import Accounts, Role, store
from firmware_app.cases.errors import ACCOUNT_EXISTS, ACCOUNT_NAME_UNUSABLE
from firmware_app.core.state_dir import StateDir
from tests.refusals import raises_refusal


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    state = StateDir(tmp_path)
    state.prepare()
    made = Accounts(state.accounts_db, clock)
    made.create()
    yield made
    made.database.close()


def doctor(accounts: Accounts, name: str = "li") -> None:
    code = accounts.create_first_claim()
    assert code
    assert accounts.redeem(code, name, "hash")


def test_the_first_code_makes_a_doctor_and_is_good_once(accounts: Accounts) -> None:
    code = accounts.create_first_claim()
    assert code
    made = accounts.redeem(code.lower().replace("-", " "), "李医生", "hash")
    assert made is not None
    assert (made.shown, made.role) == ("李医生", Role.DOCTOR)
    assert accounts.redeem(code, "someone", "hash") is None
    assert accounts.create_first_claim() is None


def test_a_code_expires(accounts: Accounts, clock: Clock) -> None:
    code = accounts.create_first_claim()
    assert code
    clock.now += store.CLAIM_S + 1
    assert accounts.find_claim(code) is None


def test_a_refused_name_leaves_the_code_good(accounts: Accounts) -> None:
    code = accounts.create_first_claim()
    assert code
    with raises_refusal(ACCOUNT_NAME_UNUSABLE):
        accounts.redeem(code, "<b>", "hash")
    assert accounts.find_claim(code) is not None


def test_two_spellings_of_a_name_are_one_account(accounts: Accounts) -> None:
    doctor(accounts, "Li")
    with raises_refusal(ACCOUNT_EXISTS):
        accounts.add("ＬＩ", Role.AUDITOR)
    assert accounts.find_password_hash("LI") == "hash"


def test_no_secret_is_readable_in_the_file(accounts: Accounts) -> None:
    code = accounts.create_first_claim()
    assert code
    accounts.redeem(code, "li", "hash")
    session = accounts.open_session("li")
    accounts.register_attempt("hunter2-typed-as-name", "10.0.0.1")
    accounts.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    written = accounts.database.path.read_bytes()
    for secret in (code, code.replace("-", ""), session, "hunter2"):
        assert secret.encode() not in written


def test_sessions_end_when_idle_when_old_and_when_told(accounts: Accounts, clock: Clock) -> None:
    doctor(accounts)
    session = accounts.open_session("li")
    for _ in range(10):  # used now and then, it lives
        clock.now += store.SESSION_IDLE_S - 1
        assert accounts.find_session_user(session) is not None
    clock.now += store.SESSION_IDLE_S + 1
    assert accounts.find_session_user(session) is None

    session, began = accounts.open_session("li"), clock.now
    while clock.now - began <= store.SESSION_MOST_S:
        accounts.find_session_user(session)
        clock.now += 600
    assert accounts.find_session_user(session) is None

    session = accounts.open_session("li")
    accounts.close_session(session)
    assert accounts.find_session_user(session) is None


def test_a_page_that_updates_by_itself_does_not_keep_a_session_alive(accounts: Accounts, clock: Clock) -> None:
    doctor(accounts)
    session, seen = accounts.open_session("li"), []
    for _ in range(4):
        clock.now += store.SESSION_IDLE_S / 3
        seen.append(accounts.find_session_user(session, used=False) is not None)
    assert seen == [True, True, False, False]


def test_many_attempts_at_once_are_no_way_round_the_limit(accounts: Accounts) -> None:
    with ThreadPoolExecutor(12) as pool:
        heard = list(pool.map(lambda _: accounts.register_attempt("li", "10.0.0.9"), range(60)))
    assert heard.count(True) == store.MOST_PAIR


def test_a_new_log_in_voids_the_id_that_the_browser_had(accounts: Accounts) -> None:
    doctor(accounts)
    planted = accounts.open_session("li")
    fresh = accounts.open_session("li", previous=planted)
    assert fresh != planted
    assert accounts.find_session_user(planted) is None
    assert accounts.find_session_user("never made") is None


@pytest.mark.parametrize("way", ["disable", "reset_password"])
def test_disabling_an_account_ends_its_sessions_at_once(accounts: Accounts, way: str) -> None:
    doctor(accounts)
    session = accounts.open_session("li")
    getattr(accounts, way)("li")
    assert accounts.find_session_user(session) is None


def test_failed_log_ins_are_limited_across_a_restart(accounts: Accounts, clock: Clock) -> None:
    for _ in range(store.MOST_PAIR):
        assert accounts.register_attempt("li", "10.0.0.9")
    assert not accounts.register_attempt("li", "10.0.0.9")
    again = Accounts(accounts.database.path, clock)
    assert not again.may_attempt("li", "10.0.0.9")
    assert again.may_attempt("li", "10.0.0.1")  # the doctor at her own PC is not locked out
    clock.now += store.ATTEMPT_WINDOW_S + 1
    assert again.may_attempt("li", "10.0.0.9")
    again.database.close()


def test_one_address_cannot_try_many_names(accounts: Accounts) -> None:
    for number in range(store.MOST_SOURCE):
        accounts.register_attempt(f"name{number}", "10.0.0.9")
    assert not accounts.may_attempt("another", "10.0.0.9")


def test_many_addresses_slow_each_other_at_one_name_and_lock_nobody_out(accounts: Accounts) -> None:
    for number in range(store.ATTACK_FAILURES):
        assert accounts.register_attempt("li", f"10.1.0.{number}")
    assert [accounts.register_attempt("li", "10.2.0.1") for _ in range(3)] == [True, False, False], (
        "one try instead of five"
    )
    known = f"{store.DEVICE}0123"
    assert [accounts.register_attempt("li", known) for _ in range(6)] == [True] * store.MOST_PAIR + [False]
    assert accounts.may_attempt("wang", "10.2.0.1"), "another account is not concerned"


# --- the limit on failed log-ins --------------------------------------------------------------------------------------

HERE = "192.0.2.1"


def fail(accounts: Accounts, name: str, times: int) -> None:
    for _ in range(times):
        assert accounts.register_attempt(name, HERE)


def test_a_success_forgives_this_name_from_this_address_only(accounts: Accounts) -> None:
    fail(accounts, "li", store.MOST_PAIR)
    fail(accounts, "wang", store.MOST_PAIR - 1)
    accounts.forget_failures("wang", HERE)
    assert not accounts.may_attempt("li", HERE)
    fail(accounts, "wang", store.MOST_PAIR)
    assert not accounts.may_attempt("wang", HERE)
