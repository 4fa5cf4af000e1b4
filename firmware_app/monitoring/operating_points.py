"""The operating points of this clinic: a signed file for each finding of a pack on a device.

A doctor and a technician, two accounts, agree to the same content: pack, version and the digests of its files, device,
finding, threshold, and the figures that it rests on.  With the second agreement the box signs it (Ed25519, RFC 8032)
and from the next image on the reader uses its threshold: only while the signature verifies and every bound field is
that of the pack and the device at hand.  Anything else, a lost key or an altered file, means the pack's own threshold.

Files lie in ``clinical/calibration/``; one that is undone or replaced goes to ``undone/`` there and stays.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from firmware_app.cases import audit
from firmware_app.cases.accounts import Role
from firmware_app.cases.model_scores import ModelSite
from firmware_app.core import clock
from firmware_app.core.clinic_accuracy import ClinicFigures, Estimate
from firmware_app.core.database import Database
from firmware_app.core.records import Detail
from firmware_app.core.state_dir import make_directory, read_plain_file, sync_directory, write_atomically
from firmware_app.monitoring.errors import POINT_ROLE_MISSING, NoOperatingPoint, ProposalOutdated, SamePersonAgreed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCHEMA: Final = "lantern.operating-point/1"
FOLDER: Final = "calibration"
_KEY_FILE: Final = "signing.key"
_UNDONE: Final = "undone"
_MODE: Final = 0o660
_MOST_BYTES: Final = 65_536
_ROLES: Final = frozenset({Role.DOCTOR, Role.TECHNICIAN})


@dataclass(frozen=True, slots=True)
class Proposal:
    """A threshold that was proposed and is not in force yet, and who has agreed to it so far (role -> account)."""

    digest: str
    place: ModelSite
    finding: str
    threshold: float
    figures: Mapping[str, Any]
    agreed: Mapping[str, str]
    at: clock.Stamp


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold in force, at the pack's own prevalence; `agreed` is role -> account."""

    place: ModelSite
    finding: str
    threshold: float
    figures: Mapping[str, Any]
    agreed: Mapping[str, str]
    at: clock.Stamp


class OperatingPoints:
    """The operating points of one box; *folder* is that of clinical.db."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder / FOLDER

    # --- agreeing ------------------------------------------------------------------------------------------------

    def propose(
        self,
        place: ModelSite,
        files: Mapping[str, str],
        finding: str,
        threshold: float,
        figures: Mapping[str, Any],
        actor: str,
        role: Role,
    ) -> Proposal:
        """Propose *threshold* (at the pack's own prevalence) and agree to it oneself; it replaces an open proposal.

        *files*: path -> SHA-256 of the pack's model files (`files_of`).  *figures* are numbers (`format_figures`).
        Raises `POINT_ROLE_MISSING`, and `ValueError` for a threshold outside (0, 1).
        """
        if not 0.0 < threshold < 1.0:
            raise ValueError(f"a threshold of {threshold} does not lie between 0 and 1")
        _require_role(role, actor)
        content = _encode_canonical(
            {
                "schema": SCHEMA,
                "pack": place.pack,
                "version": place.version,
                "machine": place.machine,
                "files": dict(files),
                "finding": finding,
                "threshold": threshold,
                "figures": dict(figures),
                "proposed": clock.stamp_text(),
            }
        )
        digest = hashlib.sha256(content).hexdigest()
        with self._database.transaction() as connection:
            _record_agreement(connection, digest, content, actor, role)
            audit.append(
                connection, actor, "calibration.proposed", details=_audit_details(place, finding, threshold, digest)
            )
        found = self.find_proposal(place, finding)
        assert found is not None
        return found

    def find_proposal(self, place: ModelSite, finding: str) -> Proposal | None:
        """The latest proposal that is not in force; ``None`` without one."""
        digest = self._find_latest(place, finding)
        if digest is None:
            return None
        rows = self._database.connection.execute(
            "SELECT content, role, actor, at FROM agreements WHERE digest = ? ORDER BY sequence", (digest,)
        ).fetchall()
        agreed = {row["role"]: row["actor"] for row in rows}
        if len(agreed) == len(_ROLES):
            return None
        content = json.loads(rows[0]["content"])
        at = clock.parse_stamp(rows[0]["at"])
        return Proposal(
            digest=digest,
            place=place,
            finding=finding,
            threshold=content["threshold"],
            figures=content["figures"],
            agreed=agreed,
            at=at,
        )

    def agree(self, place: ModelSite, finding: str, digest: str, actor: str, role: Role) -> OperatingPoint | None:
        """Agree to the proposal that was seen as *digest*; the operating point that is in force now, if that did it.

        Raises `ProposalOutdated` where it is not the latest proposal, `SamePersonAgreed`, and `POINT_ROLE_MISSING`.
        """
        _require_role(role, actor)
        with self._database.transaction() as connection:
            proposal = self.find_proposal(place, finding)
            if proposal is None or proposal.digest != digest:
                raise ProposalOutdated
            if actor in proposal.agreed.values():
                raise SamePersonAgreed(account=actor)
            row = connection.execute("SELECT content FROM agreements WHERE digest = ?", (digest,)).fetchone()
            content = str(row[0]).encode()
            _record_agreement(connection, digest, content, actor, role)
            named = _audit_details(place, finding, proposal.threshold, digest)
            audit.append(connection, actor, "calibration.agreed", details=named)
        agreed = {**proposal.agreed, role.value: actor}
        if len(agreed) < len(_ROLES):
            return None
        # After the commit: a power cut between the two leaves the pack's own threshold, and the two propose again.
        self._put_in_force(place, finding, {**json.loads(content), "agreed": agreed, "at": clock.stamp_text()})
        with self._database.transaction() as connection:
            audit.append(connection, actor, "calibration.in_force", details=named)
        return self.find_in_force(place, finding)

    def undo(self, place: ModelSite, finding: str, actor: str) -> None:
        """Back to the pack's own threshold, from the next film on; raises `NoOperatingPoint` where that is in force."""
        path = self._path(place, finding)
        with self._database.transaction() as connection:
            if not path.is_file():
                raise NoOperatingPoint(pack=place.pack)
            self._set_aside(path)
            audit.append(connection, actor, "calibration.undone", details=_audit_details(place, finding))

    # --- in force ------------------------------------------------------------------------------------------------

    def find_in_force(
        self, place: ModelSite, finding: str, files: Mapping[str, str] | None = None
    ) -> OperatingPoint | None:
        """The operating point of *finding*; ``None`` without one whose signature verifies and whose fields match.

        *files*: as `propose` has it; a point for other files is none.  ``None``: they are not compared.
        """
        try:
            data, _ = read_plain_file(self._path(place, finding), _MOST_BYTES)
            signed = json.loads(data)
            content = signed["content"]
            stated = (content["schema"], content["pack"], content["version"], content["machine"], content["finding"])
            if stated != (SCHEMA, place.pack, place.version, place.machine, finding):
                return None
            if files is not None and content["files"] != dict(files):
                return None
            if not self._is_valid_signature(bytes.fromhex(signed["signature"]), _encode_canonical(content)):
                return None
            threshold, at = float(content["threshold"]), clock.parse_stamp(content["at"])
            return OperatingPoint(
                place=place,
                finding=finding,
                threshold=threshold,
                figures=content["figures"],
                agreed=content["agreed"],
                at=at,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_altered(self, place: ModelSite, finding: str) -> bool:
        """Whether a file is there and is not used: altered, or signed with a key that was lost."""
        return self._path(place, finding).is_file() and self.find_in_force(place, finding) is None

    def _put_in_force(self, place: ModelSite, finding: str, content: Mapping[str, Any]) -> None:
        make_directory(self._folder)
        path = self._path(place, finding)
        if path.is_file():
            self._set_aside(path)
        signature = self._load_or_create_key().sign(_encode_canonical(content))
        data = json.dumps({"content": content, "signature": signature.hex()}, indent=1, ensure_ascii=False)
        write_atomically(path, data.encode(), _MODE)
        sync_directory(self._folder)

    def _set_aside(self, path: Path) -> None:
        aside = self._folder / _UNDONE
        make_directory(aside)
        path.rename(aside / f"{path.stem}.{secrets.token_hex(4)}.json")
        sync_directory(aside)
        sync_directory(self._folder)

    def _path(self, place: ModelSite, finding: str) -> Path:
        return self._folder / f"{place.pack}.{place.version}.{place.machine}.{finding}.json"

    def _find_latest(self, place: ModelSite, finding: str) -> str | None:
        row = self._database.connection.execute(
            "SELECT digest FROM agreements WHERE json_extract(content, '$.pack') = ?"
            " AND json_extract(content, '$.version') = ? AND json_extract(content, '$.machine') = ?"
            " AND json_extract(content, '$.finding') = ? GROUP BY digest ORDER BY MIN(sequence) DESC LIMIT 1",
            (place.pack, place.version, place.machine, finding),
        ).fetchone()
        return str(row[0]) if row else None

    # --- the key -------------------------------------------------------------------------------------------------

    def _load_or_create_key(self) -> Ed25519PrivateKey:
        """The box's key for operating points, made at first use."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        path = self._folder / _KEY_FILE
        if not path.is_file():
            write_atomically(path, secrets.token_bytes(32), _MODE)
            sync_directory(self._folder)
        return Ed25519PrivateKey.from_private_bytes(read_plain_file(path, 64)[0])

    def _is_valid_signature(self, signature: bytes, data: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature

        try:
            self._load_key().public_key().verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def _load_key(self) -> Ed25519PrivateKey:
        """The key, which is never made here: one made now would verify nothing."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(read_plain_file(self._folder / _KEY_FILE, 64)[0])


def format_figures(figures: ClinicFigures) -> dict[str, Any]:
    """*figures* as numbers for a signed file and for `--json`; an estimate is [value, low, high]."""
    kept: dict[str, Any] = {}
    for name in ClinicFigures.__slots__:
        value = getattr(figures, name)
        kept[name] = [round(one, 4) for one in (value.value, value.low, value.high)] if _is_estimate(value) else value
    return kept


def _is_estimate(value: object) -> bool:
    return isinstance(value, Estimate)


def _record_agreement(connection: sqlite3.Connection, digest: str, content: bytes, actor: str, role: Role) -> None:
    connection.execute(
        "INSERT INTO agreements (digest, content, agreed, role, actor, at)"
        " SELECT ?1, ?2, COUNT(*) + 1, ?3, ?4, ?5 FROM agreements WHERE digest = ?1",
        (digest, content.decode(), role.value, actor, clock.stamp_text()),
    )


def _require_role(role: Role, actor: str) -> None:
    if role not in _ROLES:
        raise POINT_ROLE_MISSING(account=actor)


def _audit_details(
    place: ModelSite, finding: str, threshold: float | None = None, digest: str = ""
) -> dict[str, Detail]:
    named: dict[str, Detail] = {
        "pack": place.pack,
        "version": place.version,
        "machine": place.machine,
        "finding": finding,
    }
    if threshold is not None:
        named |= {"threshold": round(threshold, 4), "content": digest}
    return named


def _encode_canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
