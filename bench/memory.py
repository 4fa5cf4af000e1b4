"""Memory of all processes of an idle box after a reading, and that of its peers.

PSS of every process, children included: memory that several of them share is counted once, each bearing its share. The
box is `lantern serve` after one chest film from storescu, at rest; and the same provisioned for a hospital whose broker
does not answer, with its uplink. storescp and Orthanc receive the same film. They read nothing, and storescp shows
nothing either; Orthanc without its web server is the nearer peer of the gateway alone.

    python -m bench.memory [--rounds N] [--json] [--quick]
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from bench import box, harness, receivers, sent_films
from bench.outcome import Goal, Row, Table
from bench.receivers import Receiver
from bench.sent_films import Film
from firmware_app import __version__
from firmware_app.appliance import box_identity
from firmware_app.core.state_dir import StateDir
from hospital.hospital_site import HospitalSite

_VERSION: Final = f"Lantern {__version__}"
_REST_S: Final = 3.0
"""Time after the reading for the study's revision to close and the children to free memory."""


def main() -> None:
    options = harness.parse(harness.parser(rounds=(3, 1, "starts of each")))
    storescu = harness.need_tool("storescu", "dcmtk")
    installed, absent = receivers.find_peers()
    peers = [peer for peer in installed if not peer.environment]
    whole: dict[str, list[float]] = {}
    parts: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as name:
        folder, numbers, film = Path(name), count(1), sent_films.large()
        send = partial(_send, storescu, film, numbers.__next__, folder / "film.dcm")
        for number in range(options.rounds):
            harness.progress(f"round {number + 1} of {options.rounds}")
            for uplink in (False, True):
                for who, weight in _box(folder / "work", send, uplink=uplink).items():
                    if uplink or who == "all":
                        kind = "Lantern with its uplink, all processes" if uplink else "Lantern, all processes"
                        (whole.setdefault(kind, []) if who == "all" else parts.setdefault(who, [])).append(weight)
            for peer in peers:
                whole.setdefault(peer.name, []).append(_peer(peer, folder / "work", send))
    _publish(whole, parts, peers, absent, options)


def _send(storescu: str, film: Film, number: Callable[[], int], path: Path, port: int) -> None:
    subprocess.run([storescu, "127.0.0.1", str(port), str(film.write(number(), path))], check=True)


def _box(work: Path, send: Callable[[int], None], *, uplink: bool) -> Mapping[str, float]:
    """MB of each process of an idle box, and of all together."""
    harness.empty(work)
    settings = _provision(work) if uplink else {}
    with box.start(work / "state", **settings) as served:
        served.ready("gateway", "reader", "viewer", *(["uplink"] if uplink else []))
        send(served.port)
        box.await_readings(served.state, 1)
        time.sleep(_REST_S)
        names = served.names()
        weights = {process.pid: box.proportional_mb(process.pid) for process in served.processes()}
    megabytes: dict[str, float] = {"all": sum(weights.values())}
    for pid, weight in weights.items():
        name = names.get(pid, "another")
        megabytes[name] = megabytes.get(name, 0.0) + weight
    return megabytes


def _provision(work: Path) -> dict[str, str]:
    """Settings of a box with keys, a certificate and a hospital, whose broker's port is closed."""
    house = HospitalSite(work / "hospital")
    house.set_up("127.0.0.1", harness.free_port())
    state = StateDir(work / "state")
    state.prepare()
    box_identity.begin_identity(state.line_keys, "clinic-7", house.bundle_file)
    _, enrolment = house.enrol(state.line_keys / "box.json")
    box_identity.complete_identity(state.line_keys, enrolment)
    settings = box_identity.make_settings(state.line_keys)
    return {
        f"LANTERN_{section}__{key}".upper(): str(value)
        for section, values in settings.items()
        for key, value in values.items()
    }


def _peer(peer: Receiver, work: Path, send: Callable[[int], None]) -> float:
    harness.empty(work)
    port = harness.free_port()
    with peer.running(work, port) as process:
        send(port)
        time.sleep(_REST_S)
        root = psutil.Process(process.pid)
        return sum(box.proportional_mb(each.pid) for each in (root, *root.children(recursive=True)))


def _publish(
    whole: Mapping[str, list[float]],
    parts: Mapping[str, list[float]],
    peers: list[Receiver],
    absent: list[str],
    options: argparse.Namespace,
) -> None:
    versions = {peer.name: peer.version for peer in peers}
    rows = tuple(
        Row(name, tuple(weights), "peer" if name in versions else "lantern", versions.get(name, _VERSION))
        for name, weights in whole.items()
    )
    by_weight = sorted(parts.items(), key=lambda part: -median(part[1]))
    tables = [
        Table("Memory at rest, all processes", "MB PSS", rows, compared=False),
        Table.aside(
            "Lantern with its uplink, process by process",
            "MB PSS",
            (Row(name, tuple(weights), version=_VERSION) for name, weights in by_weight),
        ),
    ]
    goals = [Goal(f"{row.name}, at rest", row.median, 320, "MB") for row in rows if row.kind == "lantern"]
    harness.publish(options, "Memory", tables, goals, absent)


if __name__ == "__main__":
    main()
