"""Enrolment over the line, on root's side of the box: makes the request, proves the answer, completes the identity.

    line/enrol.json           what the uplink asks (`EnrolCall`)
    line/enrol.key            the key from the label's code, which proves the answer: root's alone
    line/enrolments.json      what was asked and taken, for the audit, which is not in root's reach here
    exchange/enrolment.json   the answer, as the uplink heard it; `lantern-provision.path` wakes root for it

The code itself is kept nowhere.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance import box_identity, first_start
from firmware_app.appliance.errors import BROKER_UNUSABLE, ENROLMENT_UNAWAITED, NOT_PROVISIONED, RequestUnusable
from firmware_app.appliance.first_start import IdentityPaths
from firmware_app.core.errors import LanternError
from firmware_app.core.key_files import KeyFiles
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, clear_away, read_plain_file, sync_directory, write_atomically
from firmware_app.uplink.messages.credentials import load_bundle
from firmware_app.uplink.messages.enrolment import MOST_ENROLMENT_BYTES, EnrolAnswer, EnrolCall, EnrolRequest
from firmware_app.uplink.messages.envelope import BoxBundle, derive_enrolment_key
from firmware_app.uplink.messages.summary import decode

LINE_PORT: Final = 8883
ASKED, TAKEN, REFUSED = "enrolment.asked", "enrolment.taken", "enrolment.refused"
_MOST_EVENTS: Final = 50
_BROKER: Final = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9.-]{0,252})|\[([0-9A-Fa-f:]{2,45})\])(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class EnrolmentEvent:
    """One thing that the audit is told; `id` keeps it from being told twice."""

    id: str
    action: str
    details: dict[str, str]


def parse_broker(text: str) -> tuple[str, int]:
    """The host and the line's port of ``HOST``, ``HOST:PORT`` or ``[ADDRESS]:PORT``.  Raises `BROKER_UNUSABLE`."""
    match = _BROKER.fullmatch(text.strip())
    port = int(match[3] or LINE_PORT) if match else 0
    if match is None or not 0 < port < 65_536:
        raise BROKER_UNUSABLE(broker=text.strip()[:60])
    return match[1] or match[2], port


def request_enrolment(state: StateDir, code: str, host: str, port: int) -> bool:
    """Have the box ask the hospital at *host*:*port* to enrol it, with the *code* of its label.

    False where it is enrolled already.  Asked again with the same code, the request stays the same, because the
    hospital answers one.  Raises `NOT_PROVISIONED`.
    """
    keys = KeyFiles(state.line_keys)
    if not keys.box.exists():
        raise NOT_PROVISIONED(folder=str(keys.folder))
    if keys.tls_cert.exists():
        return False
    made = load_bundle(keys.box, BoxBundle)
    request = _find_pending_request(state, made, code)
    if request is None:
        request, key = EnrolRequest.create(made, code)
        write_atomically(_key_path(state), key, 0o600)  # first: a request without its key could never be answered
        _record_event(state, ASKED, {"broker": f"{host}:{port}"})
    write_atomically(state.enrol_call, EnrolCall(host, port, request).encode() + b"\n", 0o644)
    sync_directory(state.line_keys)
    return True


def take_answer(config: Config, places: IdentityPaths) -> str | None:
    """Take the answer that the uplink has put down; returns the box's id, or None where there is no answer.

    Raises why it is refused; then nothing is changed, and the box goes on asking.  A stop in between is made good by
    the next call: the answer is removed last.
    """
    state = places.state
    if not os.path.lexists(state.enrol_answer):
        return None
    try:
        box = _take_answer(config, places)
    except LanternError as error:
        _record_event(state, REFUSED, {"code": error.code})
        raise
    finally:
        clear_away(state.enrol_answer)
    return box


def _take_answer(config: Config, places: IdentityPaths) -> str:
    state = places.state
    try:
        data, _ = read_plain_file(state.enrol_answer, MOST_ENROLMENT_BYTES + 1)
    except OSError as error:
        raise RequestUnusable(detail=error.strerror or str(error)) from None
    answer = decode(data, EnrolAnswer)
    try:
        call, key = load_bundle(state.enrol_call, EnrolCall), _key_path(state).read_bytes()
    except (OSError, LanternError):
        raise ENROLMENT_UNAWAITED() from None
    answer.check_proof(call.request.encode(), key)
    known = box_identity.load_hospital(places.keys)
    box_identity.refuse_other_hospital(places.keys, answer.enrolment.box, answer.hospital)
    if known is None or known.serial <= answer.hospital.serial:
        box_identity.adopt_hospital(places.keys, answer.hospital)
    box = box_identity.apply_enrolment(places.keys, answer.enrolment, state.enrol_answer)
    first_start.enable_uplink(config, places)
    _record_event(state, TAKEN, {"hospital": answer.hospital.fingerprint})
    for file in (_key_path(state), state.enrol_call):
        file.unlink(missing_ok=True)
    sync_directory(state.line_keys)
    return box


def list_events(state: StateDir) -> list[EnrolmentEvent]:
    """What was asked and taken, the oldest first; anybody on the box may read it."""
    with suppress(OSError, ValueError, TypeError):
        saved: list[dict[str, Any]] = json.loads(_events_path(state).read_text("utf-8"))
        return [EnrolmentEvent(**one) for one in saved]
    return []


def _record_event(state: StateDir, action: str, details: dict[str, str]) -> None:
    """Refusals of one kind count once in a row: a stranger on the way could fill the list."""
    former = list_events(state)
    if former and (former[-1].action, former[-1].details) == (action, details):
        return
    fresh = EnrolmentEvent(secrets.token_hex(8), action, details)
    kept = [
        {"id": enrolment_event.id, "action": enrolment_event.action, "details": enrolment_event.details}
        for enrolment_event in (*former, fresh)
    ][-_MOST_EVENTS:]
    write_atomically(_events_path(state), json.dumps(kept).encode(), 0o644)


def _find_pending_request(state: StateDir, made: BoxBundle, code: str) -> EnrolRequest | None:
    """The request that stands, if it is of this box and this code."""
    with suppress(OSError, LanternError):
        request = load_bundle(state.enrol_call, EnrolCall).request
        key = derive_enrolment_key(code, request.nonce, made.box)
        if request.box == made and hmac.compare_digest(key, _key_path(state).read_bytes()):
            return request
    return None


def _key_path(state: StateDir) -> Path:
    return state.line_keys / "enrol.key"


def _events_path(state: StateDir) -> Path:
    return state.line_keys / "enrolments.json"
