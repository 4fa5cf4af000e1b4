"""What passes the line, made by hand: a hospital's bundle, and messages of a box."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from firmware_app.core.records import Priority
from firmware_app.uplink.messages.envelope import HospitalBundle
from firmware_app.uplink.messages.summary import (
    Brief,
    FindingBrief,
    Modality,
    Opinion,
    Origin,
    Presence,
    PresenceKind,
    SizeBand,
    Summary,
    SummaryRuntime,
)

BOX = "clinic-7"
SIGNER = Ed25519PrivateKey.generate()
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def public(seed: bytes) -> str:
    return X25519PrivateKey.from_private_bytes(seed * 32).public_key().public_bytes_raw().hex()


BUNDLE = HospitalBundle(SIGNER.public_key().public_bytes_raw().hex(), public(b"1"), 3, "127.0.0.1", 8883, PEM)


def origin(seq: int = 1, stream: str = "5", box: str = BOX) -> Origin:
    return Origin(box, stream * 32, seq, "b" * 16)


def brief(number: int, priority: Priority = Priority.ROUTINE, **changes: Any) -> Brief:
    made = Brief(
        case=f"c-{number:020x}",
        revision=1,
        modality=Modality.CR,
        pack="chest-xray-adult",
        pack_version="1.0.0",
        runtime=SummaryRuntime.ONNXRUNTIME,
        priority=priority,
        findings=(FindingBrief("tuberculosis", 93),),
        lesions=0,
        size_band=SizeBand.NONE,
        quality="ok",
        latency_ms=9,
        verdict=Opinion.NONE,
        hour="2026-11-21T03",
    )
    return replace(made, **changes)


def summary(
    seq: int = 1, case: int = 1, priority: Priority = Priority.URGENT, stream: str = "5", box: str = BOX
) -> Summary:
    return Summary(origin(seq, stream, box), brief(case, priority))


def presence(
    session: int,
    beat: int,
    state: PresenceKind = PresenceKind.HEALTH,
    stream: str = "5",
    box: str = BOX,
    **changes: Any,
) -> Presence:
    made = Presence(
        origin=origin(session, stream, box),
        state=state,
        beat=beat,
        version="0.2.0",
        outgoing=0,
        quarantined=0,
        unread=None,
        free_mb=900,
        audit_head=None,
        hour="2026-11-21T03",
        faults=(),
        packs=(),
    )
    return replace(made, **changes)
