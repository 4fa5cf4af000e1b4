"""The hospital's folder: where its keys, certificates, broker files, inbox and enrolled boxes lie.

keys/           the signing key, today's sealing key              (0700)
tls/            the authority, the broker's and the receiver's certificates, those of the boxes, the revoked (0700)
broker/         mosquitto.conf and acl, ready for mosquitto
boxes/          one enrolment file for each box, to be carried back to it
hospital.json   the public bundle that every box is provisioned with
inbox.db        all that was received
copies/         hourly copies of inbox.db                         (0700)
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware_app.core.errors import LanternError
from firmware_app.uplink.errors import BUNDLE_INVALID
from firmware_app.uplink.messages.envelope import BoxBundle, Enrolment, HospitalBundle
from firmware_app.uplink.messages.summary import decode
from hospital import broker, certificate_authority, keyring
from hospital.errors import BOX_ENROLLED, BOX_REVOKED, HOSPITAL_SERVING, INBOX_LOST, KEYS_EXIST, KEYS_MISSING, DateError
from hospital.inbox import inbox_tables
from hospital.inbox.inbox_db import Inbox
from hospital.keyring import Keyring


@dataclass(frozen=True, slots=True)
class HospitalSite:
    """Paths below one folder, and what sets the folder up."""

    root: Path

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    @property
    def broker(self) -> Path:
        return self.root / "broker"

    @property
    def bundle_file(self) -> Path:
        return self.root / "hospital.json"

    @property
    def inbox_db(self) -> Path:
        return self.root / "inbox.db"

    @property
    def clock_word(self) -> Path:
        """A file whose time is when a person last said that this machine's clock is right."""
        return self.root / "clock-is-right"

    def require(self) -> None:
        """Raise `KEYS_MISSING` where no hospital was made: a folder that was mistyped gets no empty inbox."""
        if not self.bundle_file.exists():
            raise KEYS_MISSING(path=str(self.root))

    def load_bundle(self) -> HospitalBundle:
        """The public bundle; raises `KEYS_MISSING`."""
        try:
            return decode(self.bundle_file.read_bytes().strip(), HospitalBundle)
        except FileNotFoundError:
            raise KEYS_MISSING(path=str(self.root)) from None

    def set_up(self, host: str, port: int) -> HospitalBundle:
        """Make everything for a broker that boxes reach at *host*:*port*; raises `KEYS_EXIST`."""
        if self.bundle_file.exists():
            raise KEYS_EXIST(path=str(self.root))
        keys = keyring.make_keys(self.keys)
        certificate_authority.make_authority(self.tls, host)
        certificate_authority.renew_revocation_list(self.tls)
        broker.write_broker_files(self.broker, self.tls, port)
        with closing(Inbox(self.inbox_db)) as inbox:
            inbox.create()
        return self._publish(keys, host, port)

    def enrolment_path(self, box: str) -> Path:
        """The file that is carried back to *box*."""
        return self.root / "boxes" / f"{box}.enrolment.json"

    def box_bundle_path(self, box: str) -> Path:
        """What *box* was enrolled by; its key stands in it if the inbox is ever lost."""
        return self.root / "boxes" / f"{box}.box.json"

    def open_inbox(self) -> Inbox:
        """The inbox, created or migrated.  An inbox without boxes, although some are enrolled, is not the one that was
        here: it reads them from `boxes/`, and its loss is noted.

        Raises `INBOX_NEWER`.
        """
        inbox = Inbox(self.inbox_db)
        inbox.create()
        if inbox.connection.execute("SELECT 1 FROM boxes").fetchone() is None:
            with inbox.transaction() as connection:
                boxes = self.enrol_known_boxes(connection) or sum(1 for _ in (self.tls / "issued").glob("*/"))
                if boxes and not inbox_tables.has_losses(connection):
                    inbox_tables.record_loss(connection, INBOX_LOST(boxes=boxes))
        return inbox

    def enrol_known_boxes(self, inbox: sqlite3.Connection) -> int:
        """Give *inbox* the boxes of `boxes/` and their keys, inside the caller's transaction; returns how many.

        One whose certificates are all revoked is a revoked box, and none that is revoked in *inbox* comes back.
        """
        added = 0
        for file in (self.root / "boxes").glob("*.box.json"):
            with suppress(LanternError, ValueError):
                box = decode(file.read_bytes().strip(), BoxBundle)
                issued = certificate_authority.list_issued_certificates(self.tls, box.box, self.enrolment_path(box.box))
                revoked = bool(issued) and not certificate_authority.select_unrevoked(self.tls, issued)
                added += inbox.execute(
                    "INSERT INTO boxes (box, verify, enrolled_at, revoked_at)"
                    " VALUES (?, ?, datetime(), iif(?, datetime(), NULL)) ON CONFLICT (box) DO UPDATE"
                    " SET verify = excluded.verify, revoked_at = COALESCE(revoked_at, excluded.revoked_at)",
                    (box.box, box.verify, revoked),
                ).rowcount
        return added

    @contextmanager
    def hold_serving_lock(self) -> Iterator[None]:
        """Hold the lock that allows one process to serve or restore this folder; raises `HOSPITAL_SERVING`."""
        file = self.root / "serve.lock"
        if not file.exists():
            keyring.write_private(file, b"")
        with file.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel releases it when the process ends
            except BlockingIOError:
                raise HOSPITAL_SERVING(path=str(self.root)) from None
            yield

    def rotate(self) -> HospitalBundle:
        """A fresh sealing key; `serve` tells every box.  Raises `KEYS_MISSING`."""
        before = self.load_bundle()
        return self._publish(keyring.rotate(self.keys), before.host, before.port)

    def publish(self, host: str, port: int) -> HospitalBundle:
        """Write the public bundle of the keys that are here, for a broker at *host*:*port*."""
        return self._publish(keyring.load_keys(self.keys), host, port)

    def _publish(self, keys: Keyring, host: str, port: int) -> HospitalBundle:
        vouched = (self.tls / "ca.crt").read_text("ascii")
        made = HospitalBundle(
            verify=keys.verify_public,
            seal=keys.seal_public,
            serial=keys.serial,
            host=host,
            port=port,
            authority=vouched,
        )
        fresh = self.bundle_file.with_suffix(".new")
        keyring.write_file(fresh, made.encode() + b"\n")
        fresh.replace(self.bundle_file)
        return made

    def renew_list(self) -> DateError | None:
        """Write the list of revoked certificates again if it is due, and have the running broker read it; returns what
        was wrong with it, None where nothing was.  Raises `KEYS_MISSING` or OSError."""
        wrong = certificate_authority.find_list_fault(self.tls, datetime.now(UTC))
        if certificate_authority.renew_revocation_list(self.tls, self._certificates_to_revoke):
            broker.reread(self.broker)
        return wrong

    def _certificates_to_revoke(self) -> Iterator[x509.Certificate]:
        """Those of revoked boxes, and those of an earlier key of a box: what a lost list had."""
        revoked = set(self._list_revoked())
        for folder in (self.tls / "issued").glob("*/"):
            box = folder.name
            certificates = certificate_authority.list_issued_certificates(self.tls, box, self.enrolment_path(box))
            if box in revoked:
                yield from certificates
                continue
            with suppress(OSError, LanternError, ValueError):
                present = decode(self.box_bundle_path(box).read_bytes().strip(), BoxBundle)
                yield from certificate_authority.select_other_keys(
                    certificates, certificate_authority.parse_box_key(present.tls)
                )

    def update_acl(self) -> bool:
        """Have the broker's ACL name the boxes that are revoked now; returns whether that changed it.  Nothing where
        the broker is another's."""
        return (self.broker / "acl").exists() and broker.write_acl(self.broker, self._list_revoked())

    def write_broker(self, port: int) -> None:
        """Write the broker's files in this version's form."""
        broker.write_broker_files(self.broker, self.tls, port, self._list_revoked())

    def _list_revoked(self) -> list[str]:
        inbox = self.open_inbox()
        try:
            return [box for box, verify in inbox.load_verify_keys().items() if verify is None]
        finally:
            inbox.close()

    def enrol(self, file: Path, *, replace: bool = False) -> tuple[BoxBundle, Path]:
        """Admit the box of a bundle file; returns it and the enrolment file to carry back.

        Raises `BUNDLE_INVALID`, `SignatureForged`, `BOX_ENROLLED` or `KEYS_MISSING`.
        """
        try:
            box = decode(b"".join(file.read_bytes().splitlines()).strip(), BoxBundle)
            public = certificate_authority.parse_box_key(box.tls)
        except OSError as error:
            raise BUNDLE_INVALID(path=str(file), detail=error.strerror or str(error)) from None
        except (LanternError, ValueError) as error:
            raise BUNDLE_INVALID(path=str(file), detail=str(error)[:200]) from None
        return box, self.admit(box, public, replace=replace)

    def admit(self, box: BoxBundle, public: ec.EllipticCurvePublicKey, *, replace: bool = False) -> Path:
        """Admit *box*, whose TLS key is *public*; returns the enrolment file.  Raises as `enrol` does."""
        box.check_proof()
        self.load_bundle()
        inbox = self.open_inbox()
        try:
            if not replace and inbox.load_verify_keys().get(box.box, box.box) is None:
                raise BOX_REVOKED(box=box.box)
            if not inbox.enrol(box.box, box.verify, replace=replace):
                raise BOX_ENROLLED(box=box.box)
        finally:
            inbox.close()
        written = self.enrolment_path(box.box)
        self.renew_list()
        before = certificate_authority.list_issued_certificates(self.tls, box.box, written)
        answer = Enrolment(box.box, certificate_authority.issue(self.tls, box.box, public))
        certificate_authority.keep_certificate(
            self.tls, box.box, x509.load_pem_x509_certificate(answer.certificate.encode())
        )
        fresh = certificate_authority.revoke_certificates(
            self.tls, certificate_authority.select_other_keys(before, public)
        )
        if self.update_acl() or fresh:  # mosquitto 2.0 does not always outlive a reload
            broker.reread(self.broker)
        keyring.make_folder(written.parent)
        keyring.write_file(written, answer.encode() + b"\n")
        keyring.write_file(self.box_bundle_path(box.box), box.encode() + b"\n")
        return written
