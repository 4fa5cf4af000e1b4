"""What the sealed line costs: sealing summaries, opening them, and carrying them through a real mosquitto.

The drain is measured from the start of the uplink process until the box has forgotten every summary, that is until the
hospital's signed receipts are back and verified; TLS, client certificates and SQLite synchronous=FULL on both ends.

    python -m bench.line [--summaries N] [--rounds N] [--json] [--quick]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cryptography
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench import harness, ingest_parts
from bench.outcome import Fact, Table
from firmware_app import __version__
from firmware_app.core.records import Priority
from firmware_app.uplink.messages.box_reports import decode_up
from firmware_app.uplink.messages.envelope import compute_key_id, open_sealed, seal
from firmware_app.uplink.messages.summary import Kind
from firmware_app.uplink.outbox import Outbox
from tests.wire.line_rig import make_case, run_hospital, wait_for


def main() -> None:
    counts = {"summaries": (1000, 100, "of one round"), "rounds": (5, 1, "rounds that count")}
    options = harness.parse(harness.parser(**counts))
    harness.need_tool("mosquitto", "mosquitto")
    summary = ingest_parts.summary("clinic-7", 7, 93)
    signer, hospital = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    private = {compute_key_id(hospital.public_key()): hospital}
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
    harness.publish(options, "The sealed line", [table])


def _each(times: int, work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - begun


def _drain(summaries: int) -> float:
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as folder, run_hospital(Path(folder)) as site:
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


if __name__ == "__main__":
    main()
