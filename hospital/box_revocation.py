"""Cuts a revoked box off at the running broker, and tests that it is.

mosquitto reads its revocation list again on SIGHUP and then refuses a new connection, but lets an open one live on.
But it allows one connection per name: a new client with a valid certificate of that name ends the old connection.
"""

from __future__ import annotations

import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from firmware_app.uplink.errors import BOX_UNKNOWN
from hospital import broker, certificate_authority, keyring
from hospital.hospital_site import HospitalSite

_ANSWER_S: Final = 10.0
_LIST_READ_S: Final = 5.0


class RevocationCheck(Enum):
    """Whether the running broker enforces the list."""

    IN_FORCE = "in force"
    NOT_READ = "not read"
    NO_BROKER = "no broker"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class RevocationResult:
    """What revoking a box did: `certificates` were good until now; `broker` was tried as `address` (HOST:PORT).

    `reason` says why a broker was not reached, and is empty otherwise.
    """

    certificates: int
    broker: RevocationCheck
    address: str
    reason: str


def revoke_box(site: HospitalSite, box: str, address: tuple[str, int] | None = None) -> RevocationResult:
    """Close the row of *box*, revoke all its certificates and end its connection at the broker.

    The broker is at *address*; by default on this machine, where it runs here, or else where boxes reach it.
    Raises `BOX_UNKNOWN` or `KEYS_MISSING`.
    """
    bundle = site.load_bundle()
    if address is not None:
        addresses = [address]
    else:
        local = broker.find_broker_address(site.broker)
        addresses = [*([local] if local else []), (bundle.host, bundle.port)]
    inbox = site.open_inbox()
    try:
        if box not in inbox.load_verify_keys():
            raise BOX_UNKNOWN(box=box)
        inbox.revoke(box)
        site.box_bundle_path(box).unlink(missing_ok=True)
    finally:
        inbox.close()
    site.update_acl()
    site.renew_list()
    with tempfile.TemporaryDirectory() as folder:
        refused, good = (_make_client(site, box, Path(folder) / name) for name in ("refused", "good"))
        certificates = certificate_authority.list_issued_certificates(site.tls, box, site.enrolment_path(box))
        fresh = certificate_authority.revoke_certificates(site.tls, certificates)
        certificate_authority.revoke_certificates(site.tls, [refused[1]])
        broker.reread(site.broker)
        for host, port in addresses:
            answer, reason = _try_revocation(site, refused[0], good[0], host, port)
            if answer in (RevocationCheck.IN_FORCE, RevocationCheck.NOT_READ):
                break
        # Its key is gone with this block.  mosquitto does not always outlive a reload, so the next one will do.
        certificate_authority.revoke_certificates(site.tls, [good[1]])
    return RevocationResult(fresh, answer, f"{host}:{port}", reason)


def _try_revocation(
    site: HospitalSite, refused: ssl.SSLContext, good: ssl.SSLContext, host: str, port: int
) -> tuple[RevocationCheck, str]:
    """Come with a certificate on the list until the broker, which may be reading it yet, refuses that; then with a good
    one, which ends the connection of the box.  Returns the answer, and why the broker was not reached."""
    deadline = time.monotonic() + _LIST_READ_S
    try:
        while _is_let_in(refused, host, port):
            if time.monotonic() > deadline:
                return RevocationCheck.NOT_READ, ""
            time.sleep(0.2)
        if _is_let_in(good, host, port):
            return RevocationCheck.IN_FORCE, ""
    except ConnectionRefusedError as error:
        if broker.find_broker_process(site.broker) is None:
            return RevocationCheck.NO_BROKER, ""
        return RevocationCheck.NOT_REACHED, _describe_error(error)
    except OSError as error:
        return RevocationCheck.NOT_REACHED, _describe_error(error)
    return RevocationCheck.NOT_REACHED, "it lets no client in"


def _describe_error(error: OSError) -> str:
    return getattr(error, "verify_message", None) or error.strerror or str(error)


def _is_let_in(context: ssl.SSLContext, host: str, port: int) -> bool:
    """Connect, end the session of this name, and leave; False where the broker refuses or closes the connection.

    Raises OSError where it is not reached, and where another than our broker answers.
    """
    answers: list[bool] = []
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        protocol=MQTTProtocolVersion.MQTTv311,
        clean_session=True,
        reconnect_on_failure=False,
    )
    client.tls_set_context(context)
    client.on_connect = lambda _client, _data, _flags, reason, _said: answers.append(not reason.is_failure)
    try:
        client.connect(host, port)
        _turn(client, lambda: bool(answers))
        client.disconnect()
        _turn(client, lambda: not client.is_connected())
    except ssl.SSLCertVerificationError:
        raise
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
        pass  # a refusal, during the handshake or after it
    return bool(answers) and answers[0]


def _turn(client: mqtt.Client, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _ANSWER_S
    while not done() and client.loop(0.1) == mqtt.MQTT_ERR_SUCCESS and time.monotonic() < deadline:
        pass


def _make_client(site: HospitalSite, box: str, folder: Path) -> tuple[ssl.SSLContext, x509.Certificate]:
    """A client with a fresh certificate in the name of *box*, good for a day, and its key, which is kept nowhere."""
    folder.mkdir(mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    issued = certificate_authority.issue(site.tls, box, key.public_key(), days=1).encode()
    keyring.write_private(folder / "key", certificate_authority.encode_private_key(key))
    keyring.write_private(folder / "crt", issued)
    context = ssl.create_default_context(cafile=site.tls / "ca.crt")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # under any address: the authority vouches for one server only, the broker
    context.load_cert_chain(folder / "crt", folder / "key")
    return context, x509.load_pem_x509_certificate(issued)
