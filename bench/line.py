"""What the sealed line costs: sealing summaries, opening them, and carrying them through a real mosquitto.

The drain is measured from the start of the uplink process until the box has forgotten every summary, that is until the
hospital's signed receipts are back and verified; TLS, client certificates and SQLite synchronous=FULL on both ends.

    python -m bench.line [--summaries N] [--rounds N] [--json]
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
from firmware_app import __version__
from firmware_app.records import Priority
from firmware_app.uplink.envelope import key_id, open_sealed, seal
from firmware_app.uplink.summary import (
    Brief,
    FindingBrief,
    Kind,
    Modality,
    Origin,
    Runtime,
    SizeBand,
    Summary,
    Verdict,
    decode_up,
)
from tests.wire.line_rig import make_case, place, wait_for


def main() -> None:
    options = _options()
    summary = _summary()
    signer, hospital = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    private = {key_id(hospital.public_key()): hospital}
    envelope = seal(summary.encode(), Kind.ALERT, "clinic-7", signer, hospital.public_key())
    variants = [
        harness.Variant(
            f"seal {options.summaries}", f"cryptography {cryptography.__version__}",
            lambda: _each(
                options.summaries,
                lambda: seal(summary.encode(), Kind.ALERT, "clinic-7", signer, hospital.public_key()),
            ),
        ),
        harness.Variant(
            f"open, verify and parse {options.summaries}", f"cryptography {cryptography.__version__}",
            lambda: _each(
                options.summaries,
                lambda: decode_up(open_sealed(envelope, Kind.ALERT, "clinic-7", signer.public_key(), private)),
            ),
        ),
        harness.Variant(
            f"carry {options.summaries} from box to hospital and the receipts back", f"lantern {__version__}",
            lambda: _drain(options.summaries),
        ),
    ]  # fmt: skip
    results = harness.alternate(variants, options.rounds)
    facts = {"body_bytes": len(summary.encode()), "envelope_bytes": len(envelope)}
    harness.report("The sealed line", facts, results, as_json=options.json)


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
            return box.clinical.outbox.count() == 0

        begun = time.perf_counter()
        uplink.start()
        wait_for(empty, 120)
        taken = time.perf_counter() - begun
        uplink.stop()
        box.close()
    return taken


def _summary() -> Summary:
    brief = Brief(
        "c-0123456789abcdef0123", 1, Modality.DX, "chest-xray-adult", "1.0.0", Runtime.ONNXRUNTIME, Priority.URGENT,
        (FindingBrief("tuberculosis", 93),), 0, SizeBand.NONE, "ok", 214, Verdict.NONE, "2026-11-21T03",
    )  # fmt: skip
    return Summary(Origin("clinic-7", "0" * 32, 7, "0" * 16), brief)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.line", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--summaries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
