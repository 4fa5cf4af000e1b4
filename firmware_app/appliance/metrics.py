"""The box in numbers, as Prometheus reads them (text exposition format 0.0.4).

Counts, sizes and times of the box itself: no case, no sender, no person, no path. They are served on 127.0.0.1 only,
for a program on the same machine, such as Prometheus' own agent.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from firmware_app.appliance import backup_ring, rescue_report
from firmware_app.appliance.backup import NAME as BACKUP
from firmware_app.appliance.checks import hardware, hospital_uplink, maintenance
from firmware_app.appliance.retention import NAME as RETENTION
from firmware_app.appliance.retention import compute_wanted_bytes
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock, run_status
from firmware_app.core.errors import LanternError
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, free_bytes
from firmware_app.core.version import version
from firmware_app.uplink.exchange.exchange_db import UPLINK_OPEN

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric."""

    name: str
    about: str
    value: float
    labels: Mapping[str, str] | None = None
    kind: str = "gauge"


def format_metrics(config: Config, state: StateDir, clinical: ClinicalDatabase) -> str:
    """Every metric; what cannot be read just now is left out, and ``lantern_database_readable`` says so."""
    lines: list[str] = []
    last = ""
    for sample in collect_samples(config, state, clinical):
        if sample.name != last:
            lines += [f"# HELP {sample.name} {sample.about}", f"# TYPE {sample.name} {sample.kind}"]
            last = sample.name
        labels = ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in (sample.labels or {}).items())
        lines.append(f"{sample.name}{'{' + labels + '}' if labels else ''} {sample.value:.17g}")
    return "\n".join(lines) + "\n"


def collect_samples(config: Config, state: StateDir, clinical: ClinicalDatabase) -> Iterator[Sample]:
    """Every value, those of one metric together."""
    yield Sample("lantern_info", "The version of the software.", 1, {"version": version()})
    yield Sample("lantern_clock_trusted", "Whether somebody vouches for the box's time.", clock.stamp().trusted)
    for name in run_status.list_expected_processes(config):
        running = run_status.is_running(state, name)
        yield Sample("lantern_process_running", "Whether the process lives.", running, {"process": name})
    yield from _sample_disk(config, state)
    yield from _sample_hardware()
    yield from _sample_database(clinical)
    yield from _sample_uplink(config, state)
    yield from _sample_maintenance(state)


def _sample_disk(config: Config, state: StateDir) -> Iterator[Sample]:
    file_system = os.statvfs(state.root)
    yield Sample("lantern_disk_free_bytes", "Bytes of disk that are free.", free_bytes(state.root))
    yield Sample("lantern_disk_size_bytes", "Bytes of the disk.", file_system.f_blocks * file_system.f_frsize)
    yield Sample("lantern_disk_free_files", "How many more files fit.", file_system.f_favail)
    limit = config.retention.high_water_free_mb * 1_000_000
    yield Sample("lantern_disk_intake_stops_bytes", "Below so many free bytes no image is taken.", limit)
    wanted = compute_wanted_bytes(config)
    yield Sample("lantern_disk_wanted_bytes", "Finished cases are deleted to keep so much free.", wanted)
    for database in state.databases:
        size = database.stat().st_size if database.exists() else 0
        yield Sample("lantern_database_bytes", "Size of a database.", size, {"database": database.stem})


def _sample_hardware() -> Iterator[Sample]:
    for name, celsius, _ in hardware.list_sensors():
        yield Sample("lantern_temperature_celsius", "What a sensor shows.", celsius, {"sensor": name})
    if (available := hardware.read_available_mb()) is not None:
        yield Sample("lantern_memory_available_bytes", "Memory for another program.", available * 1e6)
    if (stalled := hardware.read_memory_stall_percent()) is not None:
        about = "Share of the last five minutes in which all programs waited for memory."
        yield Sample("lantern_memory_stalled_ratio", about, stalled / 100)


def _sample_database(clinical: ClinicalDatabase) -> Iterator[Sample]:
    about = "Whether clinical.db answers."
    try:
        counts = clinical.count_queue()
        connection = clinical.database.connection
        priorities = connection.execute("SELECT COALESCE(priority, 'none'), COUNT(*) FROM cases GROUP BY 1").fetchall()
        (retired,) = connection.execute("SELECT COUNT(*) FROM retired").fetchone()
        (entries,) = connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM audit").fetchone()
        (summaries,) = connection.execute("SELECT COUNT(*) FROM outbox").fetchone()
    except (LanternError, sqlite3.Error):
        yield Sample("lantern_database_readable", about, 0)
        return
    yield Sample("lantern_database_readable", about, 1)
    for priority, count in priorities:
        yield Sample("lantern_cases", "Cases on the box.", count, {"priority": priority})
    yield Sample("lantern_images", "Images on the box.", counts.instances)
    yield Sample("lantern_images_waiting", "Images that wait to be read.", counts.waiting)
    yield Sample("lantern_objects_refused_total", "Objects that were refused.", counts.refused, kind="counter")
    yield Sample("lantern_cases_deleted", "Cases that were deleted to make room.", retired)
    yield Sample("lantern_audit_entries_total", "Entries of the audit.", entries, kind="counter")
    yield Sample("lantern_summaries_unconfirmed", "Summaries the hospital has not confirmed.", summaries)


def _sample_uplink(config: Config, state: StateDir) -> Iterator[Sample]:
    status = hospital_uplink.status(config, state)
    if status is not None:
        for name in ("outgoing", "urgent", "quarantined"):
            yield Sample("lantern_line_summaries", "Summaries on their way.", status[name], {"kind": name})
        yield Sample("lantern_line_open", "Whether the line is open.", status["code"] == UPLINK_OPEN)


def _sample_maintenance(state: StateDir) -> Iterator[Sample]:
    tested = run_status.read_check_result(state, maintenance.SELFTEST)
    last: dict[str, float] = {}
    nightly = ((one, run_status.read_check_result(state, one)) for one in (BACKUP, RETENTION))
    for name, record in ((maintenance.SELFTEST, tested), *nightly):
        if (moment := maintenance.parse_record_time(record)) is not None:
            last[name] = moment.timestamp()
    for name, seconds in last.items():
        yield Sample("lantern_care_last_seconds", "When it ran last, by the box's clock.", seconds, {"job": name})
    if tested:
        yield Sample("lantern_selftest_ok", "Whether the last self-test found no fault.", not tested.get("failed"))
    copies = backup_ring.list_copies(state)
    yield Sample("lantern_backups", "Copies of the databases that are kept.", len(copies))
    yield Sample(
        "lantern_rescues_total",
        "Times a damaged database was replaced.",
        sum(1 for _ in rescue_report.list_reports(state)),
        kind="counter",
    )
    for code in maintenance.list_troubles(state):
        yield Sample("lantern_trouble", "What the box's care for itself found wrong.", 1, {"code": code})
