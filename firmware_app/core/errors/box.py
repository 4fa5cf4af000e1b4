"""Errors of configuration, databases, processes and files that every flat meets."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.language import N_


class ConfigError(LanternError):
    """The configuration cannot be used as written."""


CONFIG_MISSING = Refusal(
    ConfigError, "config.missing", N_("There is no configuration file at {path}. Check the path given with --config.")
)


CONFIG_FORBIDDEN = Refusal(
    ConfigError,
    "config.forbidden",
    N_("This user may not read the configuration file {path}. Run the command with “sudo”."),
)


CONFIG_IS_FOLDER = Refusal(
    ConfigError,
    "config.folder",
    N_("{path} is a folder. Give the configuration file itself, as in {path}/lantern.toml."),
)


CONFIG_NOT_UTF8 = Refusal(
    ConfigError,
    "config.encoding",
    N_(
        "Line {line} of the configuration file {path} is not in UTF-8. Save the file with the encoding UTF-8 (not GBK, "
        "not “Unicode”) and try again."
    ),
)


CONFIG_NOT_TOML = Refusal(
    ConfigError,
    "config.not_toml",
    N_("Line {line} of the configuration file {path} is not valid TOML: {detail}. Correct that line and try again."),
)


CONFIG_TWICE = Refusal(
    ConfigError,
    "config.twice",
    N_(
        "Line {line} of the configuration file {path} begins a section, or sets a key, that stands in the file "
        "already. Put what belongs to it there: each stands once."
    ),
)


CONFIG_UNREADABLE = Refusal(
    ConfigError,
    "config.unreadable",
    N_("The configuration file {path} cannot be read: {detail}. Check the disk that it is on."),
)


CONFIG_UNKNOWN_KEY = Refusal(
    ConfigError,
    "config.unknown_key",
    N_("The configuration has no key “{key}” ({place}). The keys known there are: {known}."),
)


CONFIG_INVALID = Refusal(
    ConfigError, "config.invalid", N_("The configuration key “{key}” ({place}) cannot be “{value}”: {detail}.")
)


class ConfigFinding(ConfigError):
    """A value that is well written but that the services cannot work with.  *place* is file and line."""

    key: str
    place: str


CONFIG_FILE_MISSING = Refusal(
    ConfigFinding,
    "config.file_missing",
    N_("“{key}” ({place}) names the file {path}, which is not there. Put it there, or correct the path."),
)


CONFIG_NOT_A_FILE = Refusal(
    ConfigFinding, "config.not_a_file", N_("“{key}” ({place}) names {path}, which is a folder. Name the file in it.")
)


class ConfigFileForbidden(ConfigFinding):
    code = "config.file_forbidden"
    sentence = N_("“{key}” ({place}) names {path}, which this user may not read. Run the command with “sudo”.")
    path: str


CONFIG_NO_CERTIFICATE = Refusal(
    ConfigFinding,
    "config.no_certificate",
    N_("“{key}” ({place}): {path} holds no certificate in PEM form. Put the right file there."),
)


CONFIG_NO_KEY = Refusal(
    ConfigFinding,
    "config.no_private_key",
    N_(
        "“{key}” ({place}): {path} holds no private key in PEM form that opens without a passphrase. Put the right "
        "file there."
    ),
)


CONFIG_KEY_MISMATCH = Refusal(
    ConfigFinding,
    "config.key_mismatch",
    N_(
        "“{key}” ({place}): the private key in {path} does not belong to the certificate in {certificate}. Put the two "
        "files of one pair there."
    ),
)


CONFIG_INCOMPLETE = Refusal(
    ConfigFinding,
    "config.incomplete",
    N_("“{key}” ({place}) has no effect without “{other}”. Set “{other}” too, or take “{key}” out."),
)


CONFIG_PORT_TWICE = Refusal(
    ConfigFinding,
    "config.port_twice",
    N_("“{key}” ({place}) is port {port}, and so is “{other}”. Give one of them another port."),
)


CONFIG_NO_HOST = Refusal(
    ConfigFinding,
    "config.no_host",
    N_(
        "“{key}” ({place}): “{host}” is neither an IP address nor a host name. Give it without http:// and without a "
        "port, as in 192.168.1.20."
    ),
)


CONFIG_FOREIGN_ADDRESS = Refusal(
    ConfigFinding,
    "config.foreign_address",
    N_(
        "“{key}” ({place}): this computer has no address “{host}” to listen on. Give one of its own, or 0.0.0.0 for "
        "all of them."
    ),
)


CONFIG_NO_FOLDER = Refusal(
    ConfigFinding,
    "config.no_folder",
    N_("“{key}” ({place}) names {path}, which is not there. Make the folder, or correct the path."),
)


CONFIG_NOT_A_FOLDER = Refusal(
    ConfigFinding, "config.not_a_folder", N_("“{key}” ({place}) names {path}, which is not a folder. Correct the path.")
)


class ConfigFolderForbidden(ConfigFinding):
    code = "config.folder_forbidden"
    sentence = N_(
        "“{key}” ({place}): this user may not write to {path}. On an installed box run the command with “sudo”; "
        "elsewhere correct the path, or who may write there."
    )
    path: str


class StoreError(LanternError):
    """A database or the state directory cannot be used."""


class StoreVersionError(StoreError):
    """A database of a version that this one cannot use: neither time nor disk space solves it."""


class StoreTooNew(StoreVersionError):
    code = "store.too_new"
    sentence = N_(
        "The database {database} was written by a newer version (schema {found}; this version knows {known}). "
        "Install the newer version again."
    )
    database: str
    found: int
    known: int


STORE_TOO_OLD = Refusal(
    StoreVersionError,
    "store.too_old",
    N_(
        "The database {database} was written by a version of Lantern that is too old to be upgraded in one step. "
        "Nothing was changed. Install version {version} first and start the box once, then install this version again."
    ),
)

STORE_NOT_READY = Refusal(
    StoreError,
    "store.not_ready",
    N_(
        "The database {database} has not been prepared yet. Start the box first: “systemctl start lantern.target”, or "
        "“lantern serve” where it is not installed."
    ),
)


class StateUnusable(StoreError):
    code = "store.unusable"
    sentence = N_("The state directory {path} cannot be used: {detail}. Check that it exists and who may write it.")
    path: str
    detail: str


STORE_UNREADABLE = Refusal(
    StoreError,
    "store.unreadable",
    N_(
        "The database cannot be opened ({detail}). Nothing was lost. Check that the disk is mounted, may be written "
        "and is not full; “lantern doctor” says more."
    ),
)


STORE_DAMAGED = Refusal(
    StoreError,
    "store.damaged",
    N_(
        "The database {database} is damaged. It is set aside and replaced by its newest copy when the box starts. "
        "If this stays so for more than some minutes, stop “lantern serve” and start it again."
    ),
)


STORE_LOOKED_AT = Refusal(
    StoreError,
    "store.looked_at",
    N_(
        "Another process is checking the database {database}, because it was not closed in order. This takes seconds "
        "to minutes. Try again after that."
    ),
)


class ServiceError(LanternError):
    """A process of the box cannot do its work."""


PORT_TAKEN = Refusal(
    ServiceError,
    "service.port_taken",
    N_("Another program already listens on {host}:{port}. Stop it or change the port in the configuration."),
)


class AlreadyRunning(ServiceError):
    code = "service.already_running"
    sentence = N_("A Lantern is already running on {state}. Stop it first, or give the second one its own [state] dir.")
    state: str


NOT_RUNNING = Refusal(
    ServiceError, "service.not_running", N_("No Lantern is running on {state}. Start it with “lantern serve”.")
)


class ChildWillNotStart(ServiceError):
    code = "service.child"
    sentence = N_("A process that reads images cannot be started ({detail}). Install the box's software again.")
    detail: str


class ProvisionError(LanternError):
    """The box cannot be given its identity."""
