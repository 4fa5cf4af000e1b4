"""`lantern status` and `lantern doctor`: named checks, each answered with a sentence that says what to do."""

from __future__ import annotations

from typing import Any

from firmware_app.appliance import checks, rescue_report
from firmware_app.appliance.checks import archives, hospital_uplink, pack_performance, system_clock, viewer_page
from firmware_app.appliance.checks.check import Check
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import run_status
from firmware_app.core.settings import Config, ConfigSource
from firmware_app.core.state_dir import StateDir
from firmware_app.core.version import version
from firmware_app.packs.pack_store import PackStore


def collect_status(config: Config) -> dict[str, Any]:
    """What runs, on which ports, and the queue, as `lantern status --json` prints it."""
    state = StateDir(config.state.dir)
    processes = {name: run_status.read_announcement(state, name) for name in run_status.list_expected_processes(config)}
    ports = {of: (processes[name] or {}).get("port") for of, name in (("dicom", "gateway"), ("viewer", "viewer"))}
    ports["metrics"] = (processes["viewer"] or {}).get("metrics")
    queue: dict[str, int] | None = None
    here: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []
    if state.clinical_db.exists():
        clinical = ClinicalDatabase(state.clinical_db)
        clinical.require()
        counts = clinical.count_queue()
        queue = {
            "cases": counts.cases,
            "instances": counts.instances,
            "waiting": counts.waiting,
            "refused": counts.refused,
        }
        here, sent = pack_performance.status(clinical, config), archives.status(config, clinical)
        clinical.database.close()
    return {
        "version": version(),
        "state": str(config.state.dir),
        "running": all(processes.values()),
        "processes": processes,
        "ports": ports,
        "queue": queue,
        "rescues": sum(1 for _ in rescue_report.list_reports(state)),
        "line": hospital_uplink.status(config, state),
        "archives": sent,
        "clock": system_clock.status(),
        "page": viewer_page.status(config, state),
        "packs": [
            {"name": pack.manifest.name, "version": pack.manifest.version}
            for pack in PackStore.from_config(config).survey().packs
        ],
        "calibration": here,
    }


def format_status(report: dict[str, Any]) -> str:
    """*report* by `report` as a few lines for a terminal."""
    lines = [f"Lantern {report['version']}, state in {report['state']}"]
    for name, process in report["processes"].items():
        port = f", port {process['port']}" if process and process.get("port") else ""
        lines.append(f"  {name:<10}{'runs, process ' + str(process['pid']) + port if process else 'does not run'}")
    if report["queue"] is not None:
        lines.append(
            "  {cases} cases, {instances} images, {waiting} waiting, {refused} refused".format(**report["queue"])
        )
    vouched = f"told by: {report['clock']['source']}" if report["clock"]["trusted"] else "nobody has confirmed it"
    lines.append(f"  clock     {report['clock']['time']}, {vouched}")
    if page := report["page"]:
        lines.append(f"  page      {page['address']}, SHA-256 {page['fingerprint'] or 'not made yet'}")
    loaded = (report["processes"]["reader"] or {}).get("packs") or ""
    lines.append(f"  packs     {'loaded: ' + loaded if loaded else 'none is loaded'}")
    names = [f"{pack['name']} {pack['version']}" for pack in report["packs"]]
    in_use = {part.partition(" (")[0] for part in loaded.split(", ")}  # behind each, how it runs
    idle = [name for name in names if name not in in_use]
    if idle:
        lines.append(f"            on the disk, not loaded: {', '.join(idle)}")
    return "\n".join(lines)


def run_checks(config: Config, source: ConfigSource | None = None, *, dials: bool = True) -> list[Check]:
    """Every check, in the order in which a technician would look; without *dials* no archive is asked."""
    state = StateDir(config.state.dir)
    options: dict[str, dict[str, Any]] = {"archives": {"dials": dials}, "settings": {"source": source}}
    return [
        check
        for name, module in checks.list_checks().items()
        for check in module.examine(config, state, **options.get(name, {}))
    ]
