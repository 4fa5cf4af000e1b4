"""What the sealed line costs: sealing summaries, opening them, and carrying them through a real mosquitto.

The drain is measured from the start of the uplink process until the box has forgotten every summary, that is until the
hospital's signed receipts are back and verified; TLS, client certificates and SQLite synchronous=FULL on both ends.

    python -m bench.line [--summaries N] [--rounds N] [--json] [--quick]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cryptography
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench import harness
from bench.outcome import Fact, Table
from firmware_app import __version__
from firmware_app.core.records import Priority
from firmware_app.uplink.messages.envelope import key_id, open_sealed, seal
from firmware_app.uplink.messages.summary import (
    Brief,
    FindingBrief,
    Kind,
    Modality,
    Opinion,
    Origin,
    SizeBand,
    Summary,
    SummaryRuntime,
    decode_up,
)
from firmware_app.uplink.outbox import Outbox
from tests.wire.line_rig import make_case, place, wait_for


def main() -> None:
    options = _options()
    harness.need_tool("mosquitto", "mosquitto")
    summary = _summary()
    signer, hospital = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    private = {key_id(hospital.public_key()): hospital}
    envelope = seal(summary.encode(), Kind.ALERT, "clinic-7", signer, hospital.public_key())
    count, library = options.summaries, f"cryptography {cryptography.__version__}"
    variants = [
        harness.Variant("carry, count, receipts back", f"Lantern {__version__}", lambda: _drain(count)),
        harness.Variant(
            "limit: seal, one core",
            library,
            lambda: _each(count, lambda: seal(summary.encode(), Kind.ALERT, "clinic-7", signer, hospital.public_key())),
            "limit",
        ),
        harness.Variant(
            "limit: open, verify and parse, one core",
            library,
            lambda: _each(
                count, lambda: decode_up(open_sealed(envelope, Kind.ALERT, "clinic-7", signer.public_key(), private))
            ),
            "limit",
        ),
    ]
    results = harness.alternate(variants, options.rounds, warm_ups=0 if options.quick else 1)
    facts: dict[str, Fact] = {"bytes of a summary": len(summary.encode()), "bytes of its envelope": len(envelope)}
    table = Table(f"{count:,} summaries from box to hospital", "s", tuple(result.row for result in results), facts)
    harness.publish("The sealed line", [table], as_json=options.json, quick=options.quick)


def _each(times: int, work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - begun


def _drain(summaries: int) -> float:
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as folder, place(Path(folder)) as site:
        box = site.box("clinic-7")
        for number in range(summaries):
            make_case(box.clinical, number, Priority.ROUTINE)
        relay, uplink = box.relay(), site.uplink(box)

        def empty() -> bool:
            relay.step()
            return Outbox(box.clinical.database).count() == 0

        begun = time.perf_counter()
        uplink.start()
        wait_for(empty, 120)
        taken = time.perf_counter() - begun
        uplink.stop()
        box.close()
    return taken


def _summary() -> Summary:
    brief = Brief(
        "c-0123456789abcdef0123",
        1,
        Modality.DX,
        "chest-xray-adult",
        "1.0.0",
        SummaryRuntime.ONNXRUNTIME,
        Priority.URGENT,
        (FindingBrief("tuberculosis", 93),),
        0,
        SizeBand.NONE,
        "ok",
        214,
        Opinion.NONE,
        "2026-11-21T03",
    )
    return Summary(Origin("clinic-7", "0" * 32, 7, "0" * 16), brief)


def _options() -> argparse.Namespace:
    parser = harness.parser("line", __doc__)
    parser.add_argument("--summaries", type=int, default=None, help="of one round (default 1000; with --quick 100)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds that count (default 5; with --quick 1)")
    options = parser.parse_args()
    options.summaries = options.summaries or (100 if options.quick else 1000)
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


if __name__ == "__main__":
    main()
