"""Refusals of the commands."""

from __future__ import annotations

from firmware_app.appliance.errors.software import SoftwareError
from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.errors.box import ProvisionError, StoreError
from firmware_app.core.errors.clock import ClockError
from firmware_app.core.errors.upkeep import CareError
from firmware_app.core.language import N_
from firmware_app.dicom.errors import PacsError
from firmware_app.imaging.errors import ExportError, WatchError
from firmware_app.packs.errors import PackError
from firmware_app.results.errors import ReportError

PACS_NONE = Refusal(
    PacsError,
    "pacs.none",
    N_(
        "This box sends to no PACS. Write the PACS's host, port and ae_title under [pacs] in the configuration, set "
        "send = true, and restart the box."
    ),
)


STATE_FORBIDDEN = Refusal(
    StoreError,
    "store.forbidden",
    N_("Only root and the box's own services may look into {path}. Run the command with “sudo”."),
)


class OutputUnusable(StoreError):
    code = "store.output"
    sentence = N_("The results cannot be written to {path}: {detail}. Name a folder that may be written.")
    path: str
    detail: str


class OfflineError(LanternError):
    """Files cannot be read here and now."""


NOTHING_TO_READ = Refusal(
    OfflineError,
    "read.nothing",
    N_("There is no file to read at the given paths. Check them, and that the stick is plugged in and mounted."),
)


BACKGROUND_INVALID = Refusal(
    OfflineError,
    "read.background",
    N_(
        "What was given with --background cannot be used ({detail}). It must be a JSON object, or the path of a file "
        "with one, that says true or false of each fact."
    ),
)


BACKGROUND_UNKNOWN = Refusal(
    OfflineError,
    "read.background_unknown",
    N_("No model of this box has a rule that asks for “{fact}”. Rules ask for: {facts}."),
)


TEMPORARY_UNUSABLE = Refusal(
    OfflineError,
    "read.temporary",
    N_(
        "The folder for temporary files, {folder}, cannot be used: {detail}. Name another one in front of the command: "
        "TMPDIR=/path/to/folder lantern read …"
    ),
)


class TemporaryFull(OfflineError):
    code = "read.temporary_full"
    sentence = N_(
        "The folder for temporary files, {folder}, is too small: it has {free_mb} MB left, and {kept_mb} MB must stay "
        "free. Name a larger one in front of the command: TMPDIR=/path/to/folder lantern read …"
    )
    folder: str
    free_mb: int
    kept_mb: int


TIME_UNCLEAR = Refusal(
    ClockError,
    "clock.unclear",
    N_(
        "“{given}” is not a date and time. Write it as in “2026-11-21 03:15”, or with its zone, as in “2026-11-21 "
        "03:15+08:00”."
    ),
)


TIME_OUT_OF_RANGE = Refusal(
    ClockError,
    "clock.out_of_range",
    N_("{given} is not possible: the box accepts times from {earliest} to {latest}. Check the year."),
)


TIME_GOES_BACK = Refusal(
    ClockError,
    "clock.goes_back",
    N_(
        "{given} is before {certain}, a time that a confirmed clock has already shown. Check the date; if the earlier "
        "confirmation was the mistake, repeat the command with --back."
    ),
)


EXPORT_PERSON_UNKNOWN = Refusal(
    ExportError,
    "export.person",
    N_(
        "“{name}” is no account in use on this box. Name who exports with --person; “lantern user list” shows the "
        "accounts."
    ),
)


PACK_NOT_RIGHT_HERE = Refusal(
    PackError,
    "pack.not_right_here",
    N_(
        "Version {version} of the model pack “{pack}” gives wrong results for its own test images on this box "
        "({detail}). It was not put in use, and nothing was changed. Tell its publisher the words in brackets."
    ),
)


PACK_OVERLAPS = Refusal(
    PackError,
    "pack.overlap",
    N_(
        "Images that the model pack “{pack}” reads are also read by “{other}”, and the configuration does not say "
        'which of the two is used. Nothing was changed. Write prefer = ["{pack}"] or prefer = ["{other}"] under '
        "[packs] in the configuration, then install it again."
    ),
)


CONSOLE_NEEDED = Refusal(
    ProvisionError,
    "provision.console",
    N_(
        "“lantern provision” without options asks questions and needs a terminal. Give --file FILE, or --id and "
        "--hospital."
    ),
)


REPORT_PERSON_MISSING = Refusal(
    ReportError,
    "report.person",
    N_("The PDF names the patient. Say with --person who writes it; “lantern user list” shows the accounts."),
)


SOFTWARE_NOT_HERE = Refusal(
    SoftwareError,
    "software.not_here",
    N_(
        "This box was neither flashed nor installed as a Debian package, so it is not renewed this way. Install "
        "Lantern again in the way in which it was installed."
    ),
)


RESTORE_SETTINGS = Refusal(
    CareError,
    "care.restore_settings",
    N_(
        "The settings cannot be written to {path}: {detail}. Nothing was changed. Run the command as root, or keep "
        "this box's settings with --keep-settings."
    ),
)


RESET_NEEDS_ROOT = Refusal(CareError, "care.reset_root", N_("A factory reset is for root alone. Nothing was deleted."))


RESET_NOT_NAMED = Refusal(
    CareError, "care.reset_name", N_("That is not the id of this box, which is {box}. Nothing was deleted.")
)


SOURCE_UNKNOWN = Refusal(
    WatchError,
    "watch.source",
    N_(
        "“{source}” is no source. Give a file with a clip, a device such as /dev/video0, an address such as "
        "rtsp://192.168.1.20/stream, or “dicom” for the images that come to this box."
    ),
)


WATCHED_ALREADY = Refusal(
    WatchError, "watch.already", N_("Another “lantern watch” shows its frames on this box's page. Stop it first.")
)


PACK_UNCLEAR = Refusal(
    WatchError,
    "watch.pack",
    N_("A live picture does not say what it shows. Name the model that is to read it with --pack: {packs}."),
)


PACK_OF_VOLUMES = Refusal(
    WatchError,
    "watch.volumes",
    N_("The model “{pack}” reads whole volumes, not single frames. Name another one with --pack."),
)


NOTHING_KEPT = Refusal(WatchError, "watch.not_kept", N_("The frame was not kept: {detail}."))
