"""lantern-setup: makes an installed box ready before any process of it runs.  Done twice, it changes nothing.

    python -m firmware_app.appliance.preparation                as root: folders and owners, what the units must know,
                                                                ballast
    python -m firmware_app.appliance.preparation --databases    as lantern-care: migrates, and rebuilds what is damaged

The access rights are decided here alone: the uplink's user is in no group that could enter a folder with images.
"""

from __future__ import annotations

import argparse
import grp
import json
import logging
import os
import pwd
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from firmware_app.appliance import database_repair, factory_reset, unit_drop_ins, uplink_enrolment
from firmware_app.appliance.errors import FOLDER_STRANGE, STATE_ELSEWHERE, USER_MISSING, UnitsNotReread
from firmware_app.cases import audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock, programs, run_status
from firmware_app.core.errors import LanternError, StateUnusable, StoreVersionError
from firmware_app.core.programs import ProgramFailed
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir
from firmware_app.packs.pack_store import KEPT_FOLDER, PUBLISHER_FOLDER
from firmware_app.results import export_session

log = logging.getLogger("lantern.setup")

STATE: Final = Path("/var/lib/lantern")
"""Where the units expect it: their sandboxes name its folders."""
RUN: Final = Path("/run/lantern")
UNITS: Final = Path("/run/systemd/system")
NOT_REREAD: Final = "units-not-reread"
"""In `RUN` while systemd does not know the drop-ins as they are."""
_RELOAD_S: Final = 90.0
CLINICAL, EXCHANGE, VIEWER, CARE = "lantern-clinical", "lantern-exchange", "lantern-viewer", "lantern-care"
_SHARED: Final = 0o2770  # rwxrws---, as in store/disk/layout.py
_PASSED: Final = 0o751  # the top folder: the uplink passes through it to exchange/; only root creates anything in it
_PUBLIC: Final = 0o755  # line/: certificates and bundles; each private key in it is root's alone


def list_folders(state: StateDir) -> Iterator[tuple[Path, str, int]]:
    """Every folder of the state with its group and mode; all belong to root, so that no process gives one away."""
    yield state.root, CLINICAL, _PASSED
    for folder in (
        state.incoming,
        state.images,
        state.set_aside,
        state.display,
        state.outgoing,
        state.results,
        state.run,
        state.packs,
        state.usb,
        state.backup,
        state.software,
        state.clinical_db.parent,
    ):
        yield folder, CLINICAL, _SHARED
    for name in (KEPT_FOLDER, PUBLISHER_FOLDER):  # made here, because the reader's unit makes read-only what is there
        yield state.packs / name, CLINICAL, _SHARED
    yield state.exchange_db.parent, EXCHANGE, _SHARED
    for folder in (state.accounts_db.parent, state.provision):
        yield folder, VIEWER, _SHARED
    yield state.line_keys, "root", _PUBLIC


def prepare(config: Config, state: StateDir, run: Path = RUN, units: Path = UNITS) -> bool:
    """Root's part. True when systemd must reload, because a drop-in was written or removed.

    Raises `USER_MISSING`, `FOLDER_STRANGE` or `StateUnusable`.
    """
    state.make_room()  # a full disk must not keep the databases from being opened below
    try:
        for folder, group, mode in list_folders(state):
            _make_folder(folder, _find_gid(group), mode)
        _hand_over_accounts(state)
        _remove_leftovers(state)
        state.prepare_ballast(config.retention.ballast_mb)
        for name in ("uplink", "sender"):
            _set_flag(run / name, name in run_status.list_expected_processes(config))
        if changed := unit_drop_ins.write_drop_ins(units, unit_drop_ins.make_drop_ins(config, state)):
            _set_flag(run / NOT_REREAD, True)  # also for the next start, should systemd not look now
        return changed or (run / NOT_REREAD).exists()
    except OSError as error:
        path = str(error.filename or state.root)
        raise StateUnusable(path=path, detail=error.strerror or str(error)) from None


def migrate_databases(state: StateDir) -> bool:
    """Make, migrate or rebuild the databases that have more than one user; False when one cannot be used yet.

    accounts.db is made by the viewer alone. A database that fails stops only the processes that need it.
    """
    done = True
    for database in (state.clinical_db, state.exchange_db):
        try:
            database_repair.prepare_database(state, database)
        except StoreVersionError:
            raise
        except LanternError as error:
            log.error("%s (%s)", error, database.name)
            done = False
    if done:
        _audit_enrolment(state)
        _audit_reset(state)
    return done


def _audit_reset(state: StateDir) -> None:
    """The new audit begins with the factory reset that ended the one before."""
    told = state.run / factory_reset.DONE_FILE
    if not told.exists():
        return
    with closing(ClinicalDatabase(state.clinical_db).database) as database, database.transaction() as connection:
        audit.append(connection, audit.CONSOLE, factory_reset.ACTION, details=json.loads(told.read_text("utf-8")))
    told.unlink()


def _audit_enrolment(state: StateDir) -> None:
    """Tell the audit of what root, which cannot reach it, has asked and taken over the line; each once."""
    events = uplink_enrolment.list_events(state)
    if not events:
        return
    with closing(ClinicalDatabase(state.clinical_db).database) as database, database.transaction() as connection:
        rows = connection.execute("SELECT details FROM audit WHERE action LIKE 'enrolment.%'")
        known = {json.loads(row["details"]).get("id") for row in rows}
        for event in events:
            if event.id not in known:
                audit.append(connection, audit.CONSOLE, event.action, details={**event.details, "id": event.id})


def _make_folder(folder: Path, group: int, mode: int) -> None:
    """Make *folder* with its owner and mode. When it had another owner, its content is handed over too."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FOLDER_STRANGE(path=str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    status = folder.stat()
    if (status.st_uid, status.st_gid) != (0, group):
        if mode == _SHARED:
            _hand_over(folder, group)
        os.chown(folder, 0, group)
    if status.st_mode & 0o7777 != mode or status.st_gid != group:  # a change of the owner costs the setgid bit
        folder.chmod(mode)


def _hand_over(folder: Path, group: int) -> None:
    """Let the group change what root copied here, or what a box made that ran as one user."""
    for _, names, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*names, *files):
            os.chown(name, -1, group, dir_fd=descriptor, follow_symlinks=False)
            _open_to_group(name, descriptor)


def _open_to_group(name: str, folder: int) -> None:
    """Let the group change *name*, a file or folder in *folder*; links and everything else are passed over. It uses a
    descriptor that follows no link (O_PATH of open(2)), because chmod(2) itself follows every link.
    """
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind in (stat.S_IFDIR, stat.S_IFREG):
            os.chmod(f"/proc/self/fd/{descriptor}", _SHARED if kind == stat.S_IFDIR else 0o660)  # noqa: PTH101
    finally:
        os.close(descriptor)


def _hand_over_accounts(state: StateDir) -> None:
    """Give the accounts to the viewer, whoever made the first one at the console, and their copies too, which may have
    been restored with the whole state.
    """
    owner, group, database = _find_uid(VIEWER), _find_gid(VIEWER), state.accounts_db
    for file in database.parent.glob(f"{database.name}*"):
        os.chown(file, owner, group, follow_symlinks=False)
    for copy in state.backup.glob("[0-9]*"):
        with suppress(FileNotFoundError, NotADirectoryError), _open_folder(copy) as descriptor:
            os.chown(database.name, -1, group, dir_fd=descriptor, follow_symlinks=False)


@contextmanager
def _open_folder(path: Path) -> Iterator[int]:
    """*path* opened, unless it is a link: others may write the folder above it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_leftovers(state: StateDir) -> None:
    """Remove what an earlier version kept in the state's top folder (now made in run/ when needed), and what an export
    left behind at a power cut.
    """
    for name in ("folder_taken.json", "folder_taken.new"):
        (state.root / name).unlink(missing_ok=True)
    export_session.remove_stages(state)


def _reload_systemd(run: Path = RUN) -> None:
    """Have systemd reload the drop-ins. Raises `UnitsNotReread`, which the doctor then reports."""
    try:
        programs.run_program("systemctl", "daemon-reload", seconds=_RELOAD_S)
    except ProgramFailed as error:
        with suppress(OSError):
            (run / NOT_REREAD).write_text(str(error), "utf-8")
            (run / NOT_REREAD).chmod(0o644)  # for the doctor, whoever calls it
        raise UnitsNotReread(detail=str(error)) from None
    (run / NOT_REREAD).unlink(missing_ok=True)


def _set_flag(path: Path, wanted: bool) -> None:
    """Make or remove a file, which a unit checks by ConditionPathExists=."""
    if wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o644)
    else:
        path.unlink(missing_ok=True)


def _find_gid(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise USER_MISSING(name=name) from None


def _find_uid(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise USER_MISSING(name=name) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 with a sentence when the box is not ready, and systemd tries again."""
    parser = argparse.ArgumentParser(prog="python -m firmware_app.appliance.preparation", description=__doc__)
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    parser.add_argument("--databases", action="store_true", help="migrate and mend the databases, as lantern-care")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = load_config(options.config)
        if config.state.dir != STATE:
            raise STATE_ELSEWHERE(path=str(config.state.dir), expected=str(STATE))
        state = StateDir(config.state.dir)
        run_status.require_no_reset(state)
        if options.databases:
            clock.start_clock(state, "setup")
            return 0 if migrate_databases(state) else 1
        if prepare(config, state):
            _reload_systemd()
    except UnitsNotReread as error:  # a box with its old drop-ins is better than none
        print(error, file=sys.stderr)
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
