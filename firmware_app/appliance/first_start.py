"""Set the box up from its answers: keys, configuration, time zone, the first account's code.

The answers come from the first page, `lantern provision` or a signed file. Every way ends here, in this order: the
keys, then the configuration in one step. A stop before that step leaves the box unprovisioned, and the next try goes on
with the keys that are there. After it, the same answers change nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.appliance import box_identity
from firmware_app.appliance.errors import ANSWERS_UNWRITABLE, PROVISIONED_ALREADY, ZONE_NOT_SET
from firmware_app.appliance.provisioning_answers import UNPROVISIONED, Answers, read_time_zone
from firmware_app.cases.accounts import Accounts
from firmware_app.core import programs
from firmware_app.core.key_files import KeyFiles, Tpm
from firmware_app.core.programs import ProgramFailed
from firmware_app.core.records import Reason
from firmware_app.core.settings import DEFAULT_PATH, Config, describe_config, load_config
from firmware_app.core.state_dir import StateDir, sync_directory, write_atomically
from firmware_app.uplink.messages.credentials import load_bundle
from firmware_app.uplink.messages.envelope import BoxBundle, HospitalBundle

_ZONE_S: Final = 20


@dataclass(frozen=True, slots=True)
class IdentityPaths:
    """Where a box keeps what makes it this box."""

    config: Path
    keys: Path
    state: StateDir
    machine: Path | None = None
    """`/etc` when the machine is the box: then its time zone is the box's too."""

    @classmethod
    def from_config(cls, config: Config, path: Path | None = None, keys: Path | None = None) -> IdentityPaths:
        state, written = StateDir(config.state.dir), path or DEFAULT_PATH
        own = DEFAULT_PATH.parent.parent if written == DEFAULT_PATH else None
        return cls(written, keys or state.line_keys, state, own)

    @property
    def trusted(self) -> tuple[Path, Path]:
        """The two files that may name the trusted hospital: from provisioning, and installed with the software."""
        return (KeyFiles(self.keys).hospital, self.config.parent / "hospital.json")

    @property
    def record(self) -> Path:
        """The last provisioning file that was taken of each hospital (`provisioning_file`)."""
        return self.config.parent / "provisioned.json"


def load_file_settings(path: Path | None, config: Config) -> Config:
    """The configuration in the file at *path*, without the environment's overrides, ready to be written again. Only the
    state's place is taken from *config*: the keys are made there, so the file must name it.
    """
    return load_config(path, {}).model_copy(update={"state": config.state})


@dataclass(frozen=True, slots=True)
class ProvisioningResult:
    """A box that was given its identity."""

    made: BoxBundle
    hospital: HospitalBundle | None
    config: Config
    sealed: bool
    changed: bool
    undone: tuple[Reason, ...] = ()
    """What could not be done; all the rest was."""


def is_unprovisioned(config: Config, state: StateDir) -> bool:
    """Whether this is an installed box without an identity, whose first page may be shown."""
    return config.box.id == UNPROVISIONED and state.provision.is_dir()


def read_box_id(config: Config, places: IdentityPaths) -> str | None:
    """The id that the box has; None while it is fresh."""
    if config.box.id != UNPROVISIONED:
        return config.box.id
    path = KeyFiles(places.keys).box
    return load_bundle(path, BoxBundle).box if os.access(path, os.R_OK) else None  # the importer may not look there


def has_answers(answers: Answers, hospital: HospitalBundle | None, config: Config, places: IdentityPaths) -> bool:
    """Whether these are the answers that the box has, so that `apply_answers` would change at most the time zone."""
    return (
        config.box.id == answers.box
        and hospital in (None, box_identity.load_hospital(places.keys))
        and _make_settings(answers, config, places) == config
    )


def apply_answers(
    answers: Answers,
    hospital: HospitalBundle | None,
    config: Config,
    places: IdentityPaths,
    chip: Tpm | None = None,
    *,
    another: bool = False,
) -> ProvisioningResult:
    """Give the box its identity; *config* is what it has so far.

    A box that reports to a hospital gets another one only where a person at its console has said so: *another*.
    Raises `PROVISIONED_ALREADY`, `ANSWERS_UNWRITABLE`, `SealingFailed` or `CONFIG_INVALID`, and then has changed
    nothing but, at most, made keys that the next call uses.
    """
    _refuse_another_id(answers, config, places)
    if not another:
        box_identity.refuse_other_hospital(places.keys, answers.box, hospital)
    try:
        places.config.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        made = box_identity.make_keys(places.keys, answers.box, chip)
        reports_to = (
            box_identity.adopt_hospital(places.keys, hospital) if hospital else box_identity.load_hospital(places.keys)
        )
        undone = tuple(_set_zone(places, answers.zone))
        written = _make_settings(answers, config, places)
        changed = _write(places.config, describe_config(written))
        sealed = all(path.exists() for path in KeyFiles(places.keys).sealed)
    except OSError as error:
        path = str(error.filename or places.config)
        raise ANSWERS_UNWRITABLE(path=path, detail=error.strerror or str(error)) from None
    return ProvisioningResult(
        made=made, hospital=reports_to, config=written, sealed=sealed, changed=changed, undone=undone
    )


def enable_uplink(config: Config, places: IdentityPaths) -> None:
    """Have the configuration open the line, once the box has the hospital's certificate."""
    tree = config.model_dump(mode="json")
    for section, values in box_identity.make_settings(places.keys).items():
        tree[section].update(values)
    _write(places.config, describe_config(Config.model_validate(tree)))


def offer_first_code(places: IdentityPaths, code: str | None) -> str | None:
    """Let *code*, or a fresh one, make the first account; None when there is one already."""
    places.state.prepare()
    accounts = Accounts(places.state.accounts_db)
    accounts.create()
    try:
        return accounts.create_first_claim(code)
    finally:
        accounts.database.close()


def _refuse_another_id(answers: Answers, config: Config, places: IdentityPaths) -> None:
    here = read_box_id(config, places)
    if here not in (None, answers.box):
        raise PROVISIONED_ALREADY(box=str(here), folder=str(places.keys))


def _make_settings(answers: Answers, config: Config, places: IdentityPaths) -> Config:
    """*config* with the answers, and with what the keys say."""
    tree = answers.merge_into(config.model_dump(mode="json"))
    for section, values in box_identity.make_settings(places.keys).items():
        tree[section].update(values)
    return Config.model_validate(tree)


def _write(path: Path, text: str) -> bool:
    """Write the configuration in one step, unless the file says the same already."""
    data = text.encode("utf-8")
    if path.exists() and path.read_bytes() == data:
        return False
    write_atomically(path, data, 0o644)
    sync_directory(path.parent)
    return True


def _set_zone(places: IdentityPaths, zone: str) -> Iterator[Reason]:
    """Where the machine is the box, its clock shows the clinic's time; yields why it does not."""
    if places.machine is None or zone == read_time_zone(places.machine / "localtime", ""):
        return
    try:
        programs.run_program("timedatectl", "set-timezone", zone, seconds=_ZONE_S)
    except ProgramFailed as error:
        yield Reason.from_error(ZONE_NOT_SET(zone=zone, detail=str(error)))
