"""Passwords: argon2id as OWASP asks for it, and never more than two at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher

from web import passwords
from web.common_passwords import is_common
from web.passwords import Passwords, TooBusy


def test_only_the_right_password_fits() -> None:
    made = Passwords()
    stored = made.hash("灯笼在村里亮着")
    assert made.verify("灯笼在村里亮着", stored)
    assert not made.verify("灯笼在村里亮", stored)
    assert not made.verify("nobody has this password", None)
    assert not made.verify("anything", "no hash at all")


def test_never_more_than_two_are_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, most, lock, both = 0, 0, threading.Lock(), threading.Barrier(2, timeout=30)

    def slow(self: PasswordHasher, password: str, *, salt: bytes | None = None) -> str:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        both.wait()  # each waits for another one: two do work at the same time
        with lock:
            at_work -= 1
        return "hash"

    made = Passwords()
    monkeypatch.setattr(PasswordHasher, "hash", slow)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(made.hash, ["x"] * 8))
    assert most == 2


def test_a_flood_is_answered_with_busy_and_not_with_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_WAIT_S", 0.01)
    begun, go_on = threading.Semaphore(0), threading.Event()

    def held(self: PasswordHasher, password: str, *, salt: bytes | None = None) -> str:
        begun.release()
        assert go_on.wait(30)
        return "hash"

    made = Passwords()
    monkeypatch.setattr(PasswordHasher, "hash", held)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(made.hash, "x") for _ in range(2)]
        for _ in running:
            assert begun.acquire(timeout=30)
        with pytest.raises(TooBusy):
            made.hash("x")
        go_on.set()


def test_a_password_that_everybody_tries_first_is_known() -> None:
    for tried in (
        "1234567890",
        "Passw0rd123",
        "woaini5201314",
        "aaaaaaaaaaaa",
        "abcdefghij",
        "李医生123456",
        "qinghe2026",
        "9876543210",
        "ababababab",
    ):
        assert is_common(tried, "李医生", "qinghe"), tried
    for own in ("a lamp in the village", "清河的桥下有三只鸭", "Xk7-morning-tea"):
        assert not is_common(own, "li", "Lantern")
