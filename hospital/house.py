"""The hospital's folder: where its keys, certificates, broker files, inbox and enrolled boxes lie.

keys/           the signing key, today's sealing key              (0700)
tls/            the authority, the broker's and the receiver's certificates (0700)
broker/         mosquitto.conf and acl, ready for mosquitto
boxes/          one enrolment file for each box, to be carried back to it
hospital.json   the public bundle that every box is provisioned with
inbox.db        all that was received
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firmware_app.errors import BoxEnrolled, BundleInvalid, KeysExist, KeysMissing, LanternError
from firmware_app.uplink.envelope import BoxBundle, Enrolment, HospitalBundle
from firmware_app.uplink.summary import decode
from hospital import authority, keyring
from hospital.inbox import Inbox
from hospital.keyring import Keyring

_ACL = f"""\
# A box writes and reads under its own name only; the name is that of its certificate.
pattern write lantern/v1/up/%u/+
pattern read lantern/v1/down/%u/+

user {authority.RECEIVER}
topic read lantern/v1/up/#
topic write lantern/v1/down/#
"""

_MOSQUITTO = """\
# For mosquitto 2.0 or later.  The files named here must be readable by mosquitto's user.
per_listener_settings false
listener {port}
cafile {tls}/ca.crt
certfile {tls}/broker.crt
keyfile {tls}/broker.key
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {broker}/acl
max_packet_size 32768
max_inflight_messages 1000
max_queued_messages 100000
persistence true
persistence_location {broker}/
autosave_interval 60
persistent_client_expiration 14d
"""


@dataclass(frozen=True, slots=True)
class House:
    """Paths below one folder, and what is done once with them."""

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

    def bundle(self) -> HospitalBundle:
        """The public bundle; raises `KeysMissing`."""
        try:
            return decode(self.bundle_file.read_bytes().strip(), HospitalBundle)
        except FileNotFoundError:
            raise KeysMissing(path=str(self.root)) from None

    def found(self, host: str, port: int) -> HospitalBundle:
        """Make everything for a broker that boxes reach at *host*:*port*; raises `KeysExist`."""
        if self.bundle_file.exists():
            raise KeysExist(path=str(self.root))
        keys = keyring.make(self.keys)
        authority.make(self.tls, host)
        self.broker.mkdir(exist_ok=True)
        (self.broker / "acl").write_text(_ACL, "ascii")
        config = _MOSQUITTO.format(port=port, tls=self.tls.resolve(), broker=self.broker.resolve())
        (self.broker / "mosquitto.conf").write_text(config, "utf-8")
        Inbox(self.inbox_db).create()
        return self._publish(keys, host, port)

    def rotate(self) -> HospitalBundle:
        """A fresh sealing key; `serve` tells every box.  Raises `KeysMissing`."""
        before = self.bundle()
        return self._publish(keyring.rotate(self.keys), before.host, before.port)

    def _publish(self, keys: Keyring, host: str, port: int) -> HospitalBundle:
        vouched = (self.tls / "ca.crt").read_text("ascii")
        made = HospitalBundle(keys.verify_public, keys.seal_public, keys.serial, host, port, vouched)
        fresh = self.bundle_file.with_suffix(".new")
        fresh.write_bytes(made.encode() + b"\n")
        fresh.replace(self.bundle_file)
        return made

    def enrol(self, file: Path, *, replace: bool = False) -> tuple[BoxBundle, Path]:
        """Admit the box of a bundle file; returns it and the enrolment file to carry back.

        Raises `BundleInvalid`, `SignatureForged`, `BoxEnrolled` or `KeysMissing`.
        """
        try:
            box = decode(b"".join(file.read_bytes().splitlines()).strip(), BoxBundle)
            public = authority.box_key(box.tls)
        except OSError as error:
            raise BundleInvalid(path=str(file), detail=error.strerror or str(error)) from None
        except (LanternError, ValueError) as error:
            raise BundleInvalid(path=str(file), detail=str(error)[:200]) from None
        box.prove()
        self.bundle()
        inbox = Inbox(self.inbox_db)
        inbox.create()
        try:
            if not inbox.enrol(box.box, box.verify, replace=replace):
                raise BoxEnrolled(box=box.box)
        finally:
            inbox.close()
        answer = Enrolment(box.box, authority.issue(self.tls, box.box, public))
        written = self.root / "boxes" / f"{box.box}.enrolment.json"
        written.parent.mkdir(exist_ok=True)
        written.write_bytes(answer.encode() + b"\n")
        return box, written


def acl_lines(box: str) -> str:
    """What one box needs in mosquitto's ACL where the patterns of `broker/acl` are not used."""
    return f"user {box}\ntopic write lantern/v1/up/{box}/+\ntopic read lantern/v1/down/{box}/+\n"
