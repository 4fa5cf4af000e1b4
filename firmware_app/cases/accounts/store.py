"""accounts.db: people, their roles, their one-time codes, their open sessions, and their failed log-ins.

There is no default password, and no password is typed on a command line: `lantern user` gives out one-time codes, and
the password is chosen in the browser.  Every secret is stored as a hash.  Times are seconds that the box was powered on
(`clock.powered_on_seconds`), so a change of the clock never lengthens or shortens a session or a code.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from firmware_app.cases.errors import ACCOUNT_EXISTS, ACCOUNT_NAME_UNUSABLE, ACCOUNT_UNKNOWN, CODE_MALFORMED
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.rows import parse_row
from firmware_app.core.schema import read_schema

SCHEMA: Final = read_schema("firmware_app.cases.accounts")
SCHEMA_VERSION: Final = SCHEMA.version
SESSION_IDLE_S: Final = 30 * 60
SESSION_MOST_S: Final = 12 * 3600
CLAIM_S: Final = 72 * 3600
ATTEMPT_WINDOW_S: Final = 15 * 60
# Failed log-ins within the window: from one source for one account, and from one source.
MOST_PAIR, MOST_SOURCE = 5, 20
ATTACK_FAILURES: Final = 50
"""After so many failures of one account, from wherever, an address has one try at it instead of five: whoever guesses
from many is slowed, and nobody is locked out."""
DEVICE: Final = "device:"
"""How a source begins that is a browser in which the account has logged in before; any other is an address."""
_SEEN_STEP_S: Final = 60  # `seen` is not written more often than this
_NAME: Final = re.compile(r"\w[\w.\- ]{0,38}\w|\w")
_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # without 0 O, 1 I L, U
_CODE_CHARACTERS: Final = 12  # 58 bits


class Role(StrEnum):
    """The role of an account."""

    DOCTOR = "doctor"
    TECHNICIAN = "technician"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    name: str
    shown: str
    role: Role
    language: str | None
    disabled: bool
    has_password: bool


@dataclass(frozen=True, slots=True)
class CodeHolder:
    """The account that a one-time code is for: *user*, or the first account when it is None."""

    user: str | None


class Accounts:
    """The accounts database.  Safe to share between the threads of one process."""

    def __init__(self, path: Path, now: Callable[[], float] = clock.powered_on_seconds) -> None:
        self.database = Database(path)
        self._now = now

    def create(self) -> None:
        """Make or migrate the file."""
        self.database.create(SCHEMA)

    # --- people --------------------------------------------------------------------------------------------------

    def list_users(self) -> list[User]:
        """Every account by name."""
        return [_parse_user(row) for row in self.database.connection.execute("SELECT * FROM users ORDER BY name")]

    def find(self, name: str) -> User | None:
        row = self.database.connection.execute("SELECT * FROM users WHERE name = ?", (normalise_name(name),)).fetchone()
        return _parse_user(row) if row else None

    def add(self, name: str, role: Role) -> str:
        """A new account without a password; returns the code that sets it.  Raises `ACCOUNT_EXISTS`."""
        with self.database.transaction():
            self._insert(name, role)
            return self._create_claim(normalise_name(name))

    def reset_password(self, name: str) -> str:
        """A code to choose a new password with; ends the account's sessions.  Raises `ACCOUNT_UNKNOWN`."""
        with self.database.transaction() as connection:
            user = self._require(name)
            connection.execute("UPDATE users SET disabled = 0 WHERE name = ?", (user.name,))
            connection.execute("DELETE FROM sessions WHERE user_name = ?", (user.name,))
            return self._create_claim(user.name)

    def disable(self, name: str) -> None:
        """Disable the account: its sessions end, its codes and password are void.  Raises `ACCOUNT_UNKNOWN`."""
        with self.database.transaction() as connection:
            user = self._require(name)
            connection.execute("UPDATE users SET disabled = 1, password = NULL WHERE name = ?", (user.name,))
            connection.execute("DELETE FROM sessions WHERE user_name = ?", (user.name,))
            connection.execute("DELETE FROM claims WHERE user_name = ?", (user.name,))

    def set_language(self, name: str, language: str) -> None:
        """Remember the account's language."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE users SET language = ? WHERE name = ?", (language, name))

    def find_password_hash(self, name: str) -> str | None:
        """The stored password hash of an account that may log in."""
        row = self.database.connection.execute(
            "SELECT password FROM users WHERE name = ? AND disabled = 0", (normalise_name(name),)
        ).fetchone()
        return row[0] if row else None

    def set_password(self, name: str, password_hash: str) -> None:
        """A new password, chosen by who knows the old one; the account's sessions end, and its codes are void."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE user_name = ?", (normalise_name(name),))
            connection.execute("DELETE FROM claims WHERE user_name = ?", (normalise_name(name),))
            connection.execute("UPDATE users SET password = ? WHERE name = ?", (password_hash, normalise_name(name)))

    # --- one-time codes ------------------------------------------------------------------------------------------

    def create_first_claim(self, code: str | None = None) -> str | None:
        """A code for the first account, replacing an unused one; None when there is an account already.

        *code* is a code that exists elsewhere, such as on a printed label; without it, a new code is drawn.
        """
        with self.database.transaction() as connection:
            if connection.execute("SELECT 1 FROM users WHERE password IS NOT NULL LIMIT 1").fetchone():
                return None
            return self._create_claim(None, code)

    def find_claim(self, code: str) -> CodeHolder | None:
        """The account that *code* is for; None when the code is wrong, used or too old."""
        row = self.database.connection.execute(
            "SELECT user_name FROM claims WHERE code_hash = ? AND expires > ?", (_hash_code(code), self._now())
        ).fetchone()
        return CodeHolder(row[0]) if row else None

    def redeem(self, code: str, name: str, password_hash: str) -> User | None:
        """Use up *code* and set its account's password; None when somebody else has used the code before.

        *name* is the name of the first account, a doctor's; it is ignored for an existing account.  Raises
        `ACCOUNT_NAME_UNUSABLE` and `ACCOUNT_EXISTS`; the code then stays valid.
        """
        with self.database.transaction() as connection:
            claim = self.find_claim(code)
            if claim is None:
                return None
            connection.execute("DELETE FROM claims WHERE code_hash = ?", (_hash_code(code),))
            if claim.user is None:
                self._insert(name, Role.DOCTOR)
            target = claim.user or normalise_name(name)
            connection.execute("DELETE FROM sessions WHERE user_name = ?", (target,))
            connection.execute("UPDATE users SET password = ?, disabled = 0 WHERE name = ?", (password_hash, target))
            return self.find(target)

    # --- sessions ------------------------------------------------------------------------------------------------

    def open_session(self, name: str, previous: str | None = None) -> str:
        """The random id of a new session; the *previous* session of this browser ends."""
        fresh, now = secrets.token_urlsafe(32), self._now()
        with self.database.transaction() as connection:
            if previous:
                connection.execute("DELETE FROM sessions WHERE id_hash = ?", (_hash(previous),))
            connection.execute(
                "DELETE FROM sessions WHERE created < ? OR seen < ? OR seen > ?",
                (now - SESSION_MOST_S, now - SESSION_IDLE_S, now + _SEEN_STEP_S),
            )
            connection.execute(
                "INSERT INTO sessions (id_hash, user_name, created, seen) VALUES (?, ?, ?, ?)",
                (_hash(fresh), normalise_name(name), now, now),
            )
        return fresh

    def find_session_user(self, identifier: str, *, used: bool = True) -> User | None:
        """The user of the session; None when it has ended, was idle too long, or the account was disabled.

        *used* is False for requests that a page makes by itself: a page that only refreshes counts as idle.
        """
        now, key = self._now(), _hash(identifier)
        row = self.database.connection.execute(
            "SELECT u.*, s.seen FROM sessions s JOIN users u ON u.name = s.user_name"
            " WHERE s.id_hash = ? AND u.disabled = 0 AND s.created > ? AND s.seen > ? AND s.seen <= ?",
            (key, now - SESSION_MOST_S, now - SESSION_IDLE_S, now + _SEEN_STEP_S),
        ).fetchone()
        if row is None:
            return None
        if used and now - row["seen"] > _SEEN_STEP_S:
            with self.database.transaction() as connection:
                connection.execute("UPDATE sessions SET seen = ? WHERE id_hash = ?", (now, key))
        return _parse_user(row)

    def close_session(self, identifier: str) -> None:
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE id_hash = ?", (_hash(identifier),))

    # --- failed log-ins ------------------------------------------------------------------------------------------

    def may_attempt(self, name: str, source: str) -> bool:
        """Whether another log-in attempt is allowed, by the failures within the window; survives a restart.

        *source* is the address that it comes from, or `DEVICE` and the id of a browser that the account is known in.
        What others do elsewhere never forbids it.
        """
        key, now = _hash(normalise_name(name)), self._now()
        of_both, of_source, of_name = self.database.connection.execute(
            "SELECT COUNT(*) FILTER (WHERE name_hash = :name AND address = :address),"
            " COUNT(*) FILTER (WHERE address = :address), COUNT(*) FILTER (WHERE name_hash = :name)"
            " FROM attempts WHERE at > :since AND at <= :now",
            {"name": key, "address": source, "since": now - ATTEMPT_WINDOW_S, "now": now},
        ).fetchone()
        most = 1 if of_name >= ATTACK_FAILURES and not source.startswith(DEVICE) else MOST_PAIR
        return bool(of_both < most and of_source < MOST_SOURCE)

    def register_attempt(self, name: str, source: str) -> bool:
        """Count an attempt as failed *before* it is checked, so that parallel attempts cannot exceed the limit.

        False when the limit is reached; then nothing is counted.  Call `forget_failures` after a success.
        """
        if not self.may_attempt(name, source):
            return False
        now = self._now()
        with self.database.transaction() as connection:
            if not self.may_attempt(name, source):
                return False
            connection.execute("DELETE FROM attempts WHERE at <= ? OR at > ?", (now - ATTEMPT_WINDOW_S, now))
            connection.execute(
                "INSERT INTO attempts (at, name_hash, address) VALUES (?, ?, ?)",
                (now, _hash(normalise_name(name)), source),
            )
        return True

    def forget_failures(self, name: str, source: str) -> None:
        """Forget the failures of *name* from *source*, after a successful attempt."""
        with self.database.transaction() as connection:
            connection.execute(
                "DELETE FROM attempts WHERE name_hash = ? AND address = ?", (_hash(normalise_name(name)), source)
            )

    # --- the rest ------------------------------------------------------------------------------------------------

    def load_secret(self, name: str) -> bytes:
        """32 random bytes, made once and kept."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO secrets (name, value) VALUES (?, ?)", (name, secrets.token_bytes(32))
            )
            row = connection.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
        return bytes(row[0])

    def _insert(self, name: str, role: Role) -> None:
        if not _NAME.fullmatch(name):
            raise ACCOUNT_NAME_UNUSABLE(limit=40)
        if self.find(name) is not None:
            raise ACCOUNT_EXISTS()
        self.database.connection.execute(
            "INSERT INTO users (name, shown, role, created_at) VALUES (?, ?, ?, ?)",
            (normalise_name(name), name, role.value, self._now()),
        )

    def _require(self, name: str) -> User:
        user = self.find(name)
        if user is None:
            raise ACCOUNT_UNKNOWN()
        return user

    def _create_claim(self, name: str | None, code: str | None = None) -> str:
        """A new code, inside the caller's transaction; an earlier code for the same account becomes void."""
        connection = self.database.connection
        connection.execute("DELETE FROM claims WHERE user_name IS ? OR expires <= ?", (name, self._now()))
        drawn = normalise_code(code) if code else "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARACTERS))
        connection.execute(
            "INSERT INTO claims (code_hash, user_name, expires) VALUES (?, ?, ?)",
            (_hash_code(drawn), name, self._now() + CLAIM_S),
        )
        return _format_code(drawn)


def normalise_name(name: str) -> str:
    """The normal form of a name: two spellings with the same form are one account."""
    return unicodedata.normalize("NFKC", name.strip()).casefold()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _hash_code(code: str) -> str:
    return _hash(normalise_code(code))


def normalise_code(code: str) -> str:
    """A typed code in the form that is hashed."""
    return re.sub(r"[\s\-]", "", code).upper()


def parse_code(text: str) -> str:
    """A typed one-time code in the form in which codes are shown; raises `CODE_MALFORMED` for an impossible code."""
    plain = normalise_code(text)
    if len(plain) != _CODE_CHARACTERS or not set(plain) <= set(_ALPHABET):
        raise CODE_MALFORMED()
    return _format_code(plain)


def _format_code(plain: str) -> str:
    return "-".join(plain[start : start + 4] for start in range(0, _CODE_CHARACTERS, 4))


def _parse_user(row: sqlite3.Row) -> User:
    return parse_row(User, row, has_password=row["password"] is not None)
