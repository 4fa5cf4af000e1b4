"""`lantern status` and `lantern doctor`: named checks, each answered with a sentence that says what to do."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance import preparation, rescue_report
from firmware_app.appliance.checks import (
    archives,
    databases,
    disk_wear,
    hospital_uplink,
    installed_software,
    maintenance,
    pack_performance,
    refused_callers,
    runtimes,
    sticks,
    system_clock,
    viewer_page,
)
from firmware_app.appliance.checks.check import Check
from firmware_app.appliance.errors import UnitsNotReread
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import config_check, disk, run_status
from firmware_app.core.errors import ConfigFileForbidden, ConfigFolderForbidden, LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, ConfigSource
from firmware_app.core.state_dir import StateDir, free_bytes
from firmware_app.core.version import version
from firmware_app.packs.errors import PackError
from firmware_app.packs.pack_store import PackStore
from firmware_app.reading import routing

_STATE_OK: Final = register("doctor.state_ok", N_("The state directory {path} can be used; {free_mb} MB are free."))
_STATE_NONE: Final = register(
    "doctor.state_none",
    N_(
        "There is no state directory {path}. It is made when the box first runs; if this box has run before, look "
        "whether its disk is mounted and [state] dir is right."
    ),
)
_SPACE_LOW: Final = register(
    "doctor.space_low",
    N_("Only {free_mb} MB of disk are free and the box stops taking images at {limit_mb} MB. Free some space."),
)
_PACKS_NONE: Final = register(
    "doctor.packs_none",
    N_("There is no model pack in {path}, so nothing can be judged. Correct [packs] dir, or install Lantern again."),
)
_PACK_OK: Final = register("doctor.pack_ok", N_("The model pack {pack} {version} is complete."))
_PREFER_IDLE: Final = register(
    "doctor.prefer_idle",
    N_("[packs] prefer names the model pack “{pack}”, which is not on this box. Correct its name or take it out."),
)
_GATEWAY_OK: Final = register("doctor.gateway_ok", N_("The DICOM port {port} answers."))
_GATEWAY_SILENT: Final = register(
    "doctor.gateway_silent",
    N_("The DICOM port {port} does not answer. Restart the box; if it stays so, call the technician."),
)
_PROCESS_OK: Final = register("doctor.process_ok", N_("The process {process} runs."))
_PROCESS_MISSING: Final = register(
    "doctor.process_missing",
    N_(
        "The process {process} does not run. Start the box: “systemctl start lantern.target”, or “lantern serve” where "
        "it is not installed."
    ),
)
_POPULATION_ASK: Final = register(
    "doctor.population_ask",
    N_(
        "Films without an age are not judged. If this clinic sees mostly children or mostly adults, "
        "the technician sets [box] usual_population."
    ),
)
_POPULATION_SET: Final = register("doctor.population_set", N_("Films without an age are taken to show: {population}."))
_OPEN_DOOR: Final = register(
    "doctor.open_door",
    N_("Any machine on the network may send images. To admit only the clinic's own, set [dicom] allowed_calling."),
)
_CLOSED_DOOR: Final = register("doctor.closed_door", N_("Only configured machines may send images: {count}."))
_OPEN_WORKLIST: Final = register(
    "doctor.open_worklist",
    N_(
        "Whoever calls itself like one of the {count} machines in [worklist] stations is told the patients' names. "
        "Name the machines' addresses in [dicom] allowed_addresses, or give the port TLS with a client CA."
    ),
)
_PREVALENCE_IDLE: Final = register(
    "doctor.prevalence_idle",
    N_("[reader] prevalence names the finding “{finding}”, which no model on this box gives. Correct its code."),
)

_ANSWER_S: Final = 2.0


def collect_status(config: Config) -> dict[str, Any]:
    """What runs, on which ports, and the queue, as `lantern status --json` prints it."""
    state = StateDir(config.state.dir)
    processes = {name: run_status.read_announcement(state, name) for name in run_status.expected_processes(config)}
    ports = {of: (processes[name] or {}).get("port") for of, name in (("dicom", "gateway"), ("viewer", "viewer"))}
    ports["metrics"] = (processes["viewer"] or {}).get("metrics")
    queue: dict[str, int] | None = None
    here: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []
    if state.clinical_db.exists():
        clinical = ClinicalDatabase(state.clinical_db)
        clinical.require()
        counts = clinical.counts()
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
            for pack in PackStore.of(config).survey().packs
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
    in_use = {one.partition(" (")[0] for one in loaded.split(", ")}  # behind each, how it runs
    idle = [name for name in names if name not in in_use]
    if idle:
        lines.append(f"            on the disk, not loaded: {', '.join(idle)}")
    return "\n".join(lines)


def run_checks(config: Config, source: ConfigSource | None = None, *, dials: bool = True) -> list[Check]:
    """Every check, in the order in which a technician would look; without *dials* no archive is asked."""
    state = StateDir(config.state.dir)
    parts: list[_Part] = [
        *_FIRST,
        partial(archives.examine, dials=dials),
        *_LAST,
        partial(_named_in_settings, source=source or ConfigSource()),
    ]
    return [check for part in parts for check in part(config, state)]


def _state(config: Config, state: StateDir) -> Iterator[Check]:
    if not state.root.exists() and _may_be_made(state.root):
        yield Check("state", "warn", Reason(_STATE_NONE, {"path": str(state.root)}))
        return
    try:
        state.prepare()
        if (trouble := disk.find_disk_trouble(state.run, config.retention.high_water_free_mb)) is not None:
            raise trouble
        if not os.access(state.images, os.W_OK):
            raise PermissionError(13, "it may not be written by this user")
        free_mb = free_bytes(state.root) // 1_000_000
    except LanternError as error:
        yield Check("state", "fail", Reason.of(error))
        return
    except OSError as error:
        yield Check(
            "state", "fail", Reason("store.unusable", {"path": str(state.root), "detail": error.strerror or ""})
        )
        return
    limit = config.retention.high_water_free_mb
    if free_mb < 2 * limit:
        yield Check("state", "warn", Reason(_SPACE_LOW, {"free_mb": free_mb, "limit_mb": limit}))
    else:
        yield Check("state", "ok", Reason(_STATE_OK, {"path": str(state.root), "free_mb": free_mb}))


def _may_be_made(folder: Path) -> bool:
    """Whether this user could create it; the doctor itself creates nothing."""
    return os.access(next(above for above in folder.parents if above.exists()), os.W_OK | os.X_OK)


def _models(config: Config, state: StateDir) -> Iterator[Check]:
    shelf = PackStore.of(config).survey()
    if not shelf.packs:
        yield Check("packs", "fail", Reason(_PACKS_NONE, {"path": str(PackStore.of(config).shipped)}))
    for broken in shelf.broken:
        yield Check("packs", "fail", Reason.of(broken))
    for pack in shelf.packs:
        try:
            pack.verify()
        except PackError as error:
            yield Check("packs", "fail", Reason.of(error))
        else:
            yield Check("packs", "ok", Reason(_PACK_OK, {"pack": pack.manifest.name, "version": pack.manifest.version}))


def _precedence(config: Config, state: StateDir) -> Iterator[Check]:
    store = PackStore.of(config)
    packs = store.survey().packs
    for overlap in routing.find_overlaps(packs, config, store):
        yield Check("packs", "ok" if overlap.is_chosen else "warn", overlap.reason)
    names = {pack.name for pack in packs}
    for name in config.packs.prefer:
        if name not in names:
            yield Check("settings", "warn", Reason(_PREFER_IDLE, {"pack": name}))


def check_processes(config: Config, state: StateDir) -> Iterator[Check]:
    for name in run_status.expected_processes(config):
        announced = run_status.read_announcement(state, name)
        if (
            announced is None and (why := run_status.read_failure(state, name)) is not None
        ):  # also while it is tried again
            yield Check(name, "fail", why)
            continue
        if not run_status.is_running(state, name):
            yield Check(name, "fail", Reason(_PROCESS_MISSING, {"process": name}))
            continue
        yield Check(name, "ok", Reason(_PROCESS_OK, {"process": name}))
        port = (announced or {}).get("port")
        if name == "gateway" and isinstance(port, int):
            answers = _answers(config.dicom.host, port)
            yield Check(
                name, "ok" if answers else "fail", Reason(_GATEWAY_OK if answers else _GATEWAY_SILENT, {"port": port})
            )


def _units(config: Config, state: StateDir) -> Iterator[Check]:
    """Whether systemd starts the processes with what the configuration grants them."""
    try:
        detail = (preparation.RUN / preparation.NOT_REREAD).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return
    if detail:
        yield Check("settings", "warn", Reason.of(UnitsNotReread(detail=detail)))


def _answers(host: str, port: int) -> bool:
    """Whether something accepts a connection there; the association itself is the allow-list's business."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1" if host == "0.0.0.0" else host, port), _ANSWER_S),
    ):
        return True
    return False


def _line(config: Config, state: StateDir) -> Iterator[Check]:
    for well, reason in hospital_uplink.examine(config, state):
        yield Check("line", "ok" if well else "warn", reason)


def _settings(config: Config, state: StateDir) -> Iterator[Check]:
    usual = config.box.usual_population
    if usual == "ask":
        yield Check("population", "warn", Reason(_POPULATION_ASK))
    else:
        yield Check("population", "ok", Reason(_POPULATION_SET, {"population": usual}))
    allowed = len(config.dicom.allowed_calling) + len(config.dicom.allowed_addresses)
    if allowed:
        yield Check("door", "ok", Reason(_CLOSED_DOOR, {"count": allowed}))
    else:
        yield Check("door", "warn", Reason(_OPEN_DOOR))
    if config.worklist.stations and not config.dicom.allowed_addresses and config.dicom.tls_ca is None:
        yield Check("door", "warn", Reason(_OPEN_WORKLIST, {"count": len(config.worklist.stations)}))
    known = {finding.code for pack in PackStore.of(config).survey().packs for finding in pack.manifest.findings}
    for code in sorted(set(config.reader.prevalence) - known):
        yield Check("settings", "warn", Reason(_PREVALENCE_IDLE, {"finding": code}))


def _named_in_settings(config: Config, state: StateDir, source: ConfigSource) -> Iterator[Check]:
    for finding in config_check.check_config(config, source):
        if not isinstance(finding, ConfigFileForbidden | ConfigFolderForbidden):  # which this user cannot judge
            yield Check("settings", "fail", Reason.of(finding))


_Part = Callable[[Config, StateDir], Iterator[Check]]
_FIRST: tuple[_Part, ...] = (
    _state,
    system_clock.examine,
    databases.check_databases,
    databases.check_rescues,
    maintenance.check_backup,
    maintenance.check_retention,
    maintenance.check_hardware,
    installed_software.examine,
    disk_wear.examine,
    _models,
    _precedence,
    pack_performance.examine,
    runtimes.check_runtimes,
    runtimes.check_execution_variants,
    _units,
    check_processes,
    viewer_page.examine,
    sticks.examine,
)
_LAST: tuple[_Part, ...] = (_line, maintenance.check_selftest, _settings, refused_callers.check_refused_callers)
