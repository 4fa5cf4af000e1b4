"""One connection to the broker, in one thread, without state: paho does the protocol, and nothing waits in its queue.

Every attempt uses a new client, so that paho never resends messages sealed for a retired key.  MQTT v5 is tried first;
a broker without it gets 3.1.1.  The reason for a failed connection is determined here, before and after the attempt,
because TLS itself only says that it failed.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import paho.mqtt.client as mqtt
from cryptography import x509
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from firmware_app.core import certificates, clock
from firmware_app.core.certificates import (
    CertificateFault,
    PeerOutOfDate,
    check_certificate_dates,
    check_dates_by_box_time,
)
from firmware_app.core.settings import UplinkSection
from firmware_app.uplink.errors import (
    BROKER_CLOSED,
    BROKER_EXPIRED,
    BROKER_FINDS_OUT_OF_DATE,
    BROKER_NOT_YET,
    BROKER_REFUSED,
    BROKER_UNREACHABLE,
    BROKER_UNTRUSTED,
    BUNDLE_INVALID,
    CERTIFICATE_EXPIRED,
    CERTIFICATE_NOT_YET_VALID,
    LINE_NOT_SET_UP,
    PLAIN_LINE_REFUSED,
    UplinkError,
)

_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 6.0
_KEEPALIVE_S: Final = 60
_SESSION_S: Final = 7 * 86_400
_REFUSED: Final = 0x80  # MQTT 5 2.4: reason codes from here on are failures
_NO_SUBSCRIBERS: Final = 0x10  # MQTT 5 3.4.2.1: no matching subscribers
_TLS_ALERT: Final = re.compile(r"\[SSL: (?:SSLV3|TLSV1)_ALERT_(\w+)\]")
_DATE_ALERTS: Final = {"BAD_CERTIFICATE": "bad certificate", "CERTIFICATE_EXPIRED": "certificate expired"}
"""Alerts (RFC 8446, 6.2) of a broker for which a certificate or its list of revoked ones does not hold at this time."""
_WRONG_PROTOCOL: Final = "Unsupported protocol version"


@dataclass(frozen=True, slots=True)
class Post:
    """One message to publish."""

    topic: str
    payload: bytes
    retain: bool = False


class _NoAnswer(OSError):
    """The peer accepted the connection but did not answer: perhaps a broker without this MQTT version."""


class Connection:
    """The connection of one box.  `open` it, call `loop` often, `post` while it `is_open`."""

    def __init__(
        self,
        settings: UplinkSection,
        client_id: str,
        *,
        subscribe: str,
        on_message: Callable[[str, bytes], None],
        on_posted: Callable[[int, str | None, bool], None],
        tls: Callable[[UplinkSection], ssl.SSLContext | None] | None = None,
    ) -> None:
        """*on_message* gets (topic, payload) and must have kept it when it returns: only then is it acknowledged.

        *on_posted* gets the number of a post, the broker's reason for refusing it (None when it took it), and whether
        nobody was there to hear it. *tls* replaces `make_tls_context`.
        """
        self._tls = tls or make_tls_context
        self._settings, self._client_id, self._subscribe = settings, client_id, subscribe
        self._on_message, self._on_posted = on_message, on_posted
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._client: mqtt.Client | None = None
        self._open, self._answer, self._alert = False, "", ""

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def protocol(self) -> str:
        return "5" if self._protocol is MQTTProtocolVersion.MQTTv5 else "3.1.1"

    def open(self, will: Post | None) -> None:
        """Connect and subscribe; raises one of `UplinkError` that says why it cannot be done."""
        self.close()
        check_certificates(self._settings)
        self._answer, self._alert = "", ""
        client = self._make_client(will)
        self._client = client
        where = {"host": self._settings.host, "port": self._settings.port}
        try:
            self._connect(client)
            self._wait(client, lambda: bool(self._answer))
        except PeerOutOfDate as error:
            raise _make_broker_certificate_error(error.fault, self._settings.host) from None
        except ssl.SSLCertVerificationError as error:
            raise BROKER_UNTRUSTED(detail=error.verify_message, **where) from None  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            if isinstance(error, _NoAnswer):
                self._switch_protocol()
            detail = (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:120]
            raise BROKER_UNREACHABLE(detail=detail, **where) from None  # type: ignore[arg-type]
        if self._answer == "Success":
            self._open = True
            return
        self._switch_protocol()
        self.close()
        if self._answer and self._answer != _WRONG_PROTOCOL:
            raise BROKER_REFUSED(reason=self._answer)
        if self._alert in _DATE_ALERTS:
            raise BROKER_FINDS_OUT_OF_DATE(detail=_DATE_ALERTS[self._alert], **where)  # type: ignore[arg-type]
        raise BROKER_CLOSED(**where)  # type: ignore[arg-type]

    def post(self, post: Post) -> int | None:
        """Hand one message to the broker with QoS 1; its number, or None when the line has just broken."""
        if self._client is None or not self._open:
            return None
        info = self._client.publish(post.topic, post.payload, qos=1, retain=post.retain)
        return info.mid if info.rc == mqtt.MQTT_ERR_SUCCESS else None

    def loop(self, seconds: float) -> None:
        """Let the connection work for at most about *seconds*; `is_open` is False afterwards if it broke."""
        if self._client is None or not self._open:
            return
        if self._client.loop(seconds) != mqtt.MQTT_ERR_SUCCESS:
            self._open = False
        if not self._open:
            self._protocol = MQTTProtocolVersion.MQTTv5  # a broker that was only restarting is asked for v5 again

    def close(self, *, politely: bool = False) -> None:
        """Close the connection; *politely* sends DISCONNECT, so that the broker does not publish the last will."""
        client, self._client, self._open = self._client, None, False
        if client is None:
            return
        if politely:
            client.disconnect()
            client.loop(0.05)
        transport = client.socket()
        if transport is not None:
            transport.close()

    # --- inside --------------------------------------------------------------------------------------------------

    def _make_client(self, will: Post | None) -> mqtt.Client:
        is_5 = self._protocol is MQTTProtocolVersion.MQTTv5
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if is_5 else False,
            protocol=self._protocol,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(1000)
        context = self._tls(self._settings)
        if context is not None:
            client.tls_set_context(context)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.on_log = self._handle_log
        client.on_connect = self._handle_connect
        client.on_disconnect = self._handle_disconnect
        client.on_message = self._handle_message
        client.on_publish = self._handle_publish
        return client

    def _connect(self, client: mqtt.Client) -> None:
        host, port = self._settings.host, self._settings.port
        if self._protocol is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_S
            client.connect(host, port, _KEEPALIVE_S, clean_start=False, properties=properties)
        else:
            client.connect(host, port, _KEEPALIVE_S)
        transport = client.socket()
        if isinstance(transport, socket.socket):
            transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _wait(self, client: mqtt.Client, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _ANSWER_S
        while not done() and client.loop(0.1) == mqtt.MQTT_ERR_SUCCESS:
            if time.monotonic() > deadline:
                raise _NoAnswer("it does not answer in MQTT")

    def _switch_protocol(self) -> None:
        is_5 = self._protocol is MQTTProtocolVersion.MQTTv5
        self._protocol = MQTTProtocolVersion.MQTTv311 if is_5 else MQTTProtocolVersion.MQTTv5

    def _handle_connect(
        self,
        client: mqtt.Client,
        _data: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _said: Properties | None,
    ) -> None:
        self._answer = str(reason)
        if not reason.is_failure:
            client.subscribe(self._subscribe, qos=1)

    def _handle_log(self, _client: mqtt.Client, _data: object, _level: int, text: str) -> None:
        """paho tells only its log why reading failed; in TLS 1.3 the broker's word on our certificate comes then."""
        if alert := _TLS_ALERT.search(text):
            self._alert = alert[1]

    def _handle_disconnect(self, *_: object) -> None:
        self._open = False

    def _handle_message(self, client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._on_message(message.topic, bytes(message.payload))
        client.ack(message.mid, message.qos)

    def _handle_publish(
        self, _client: mqtt.Client, _data: object, number: int, reason: ReasonCode, _said: Properties | None
    ) -> None:
        self._on_posted(number, str(reason) if reason.value >= _REFUSED else None, reason.value == _NO_SUBSCRIBERS)


# --- TLS ----------------------------------------------------------------------------------------------------------


def make_tls_context(settings: UplinkSection) -> ssl.SSLContext | None:
    """TLS 1.2 or later with the box's certificate; None, unprotected, only to a broker on this very machine."""
    if settings.tls_ca is None:
        if _is_loopback(settings.host):
            return None
        raise PLAIN_LINE_REFUSED(host=settings.host)
    if settings.tls_cert is None or settings.tls_key is None:
        raise LINE_NOT_SET_UP(key="tls_cert" if settings.tls_cert is None else "tls_key")
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=settings.tls_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise BUNDLE_INVALID(
            path=certificates.find_faulty_file(settings), detail=error.strerror or str(error)
        ) from None
    return check_dates_by_box_time(context)


def check_certificates(settings: UplinkSection) -> None:
    """Check the box's own certificates against its time; raises the `UplinkError` that names the wrong one.

    The start date of each has passed, since the box has the certificate; a box without a clock learns from that.
    """
    for path in (settings.tls_ca, settings.tls_cert):
        if path is None:
            continue
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            raise BUNDLE_INVALID(path=str(path), detail=str(error)[:120]) from None
        clock.current_clock().record_passed(certificate.not_valid_before_utc.timestamp())
        fault = check_certificate_dates(certificate)
        if fault is not None:
            raise _make_own_certificate_error(fault, path.name)


def _make_own_certificate_error(fault: CertificateFault, file: str) -> UplinkError:
    """The error of one of the box's own certificates."""
    now = f"{fault.now:%Y-%m-%d %H:%M}"
    if fault.ended:
        return CERTIFICATE_EXPIRED(file=file, ends=f"{fault.ends:%Y-%m-%d}", now=now)
    return CERTIFICATE_NOT_YET_VALID(file=file, starts=f"{fault.starts:%Y-%m-%d}", now=now)


def _make_broker_certificate_error(fault: CertificateFault, host: str) -> UplinkError:
    now = f"{fault.now:%Y-%m-%d %H:%M}"
    if fault.ended:
        return BROKER_EXPIRED(host=host, ends=f"{fault.ends:%Y-%m-%d}", now=now)
    return BROKER_NOT_YET(host=host, starts=f"{fault.starts:%Y-%m-%d}", now=now)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
