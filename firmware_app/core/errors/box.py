"""The box itself: its configuration, its databases and disk, its processes, its people and its identity."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_

# --- configuration --------------------------------------------------------------------------------------------


class ConfigError(LanternError):
    """The configuration cannot be used as written."""


class ConfigMissing(ConfigError):
    code = "config.missing"
    sentence = N_("There is no configuration file at {path}. Check the path given with --config.")
    path: str


class ConfigForbidden(ConfigError):
    code = "config.forbidden"
    sentence = N_("This user may not read the configuration file {path}. Run the command with “sudo”.")
    path: str


class ConfigIsFolder(ConfigError):
    code = "config.folder"
    sentence = N_("{path} is a folder. Give the configuration file itself, as in {path}/lantern.toml.")
    path: str


class ConfigNotUtf8(ConfigError):
    code = "config.encoding"
    sentence = N_(
        "Line {line} of the configuration file {path} is not in UTF-8. Save the file with the encoding UTF-8 (not GBK, "
        "not “Unicode”) and try again."
    )
    path: str
    line: int


class ConfigNotToml(ConfigError):
    code = "config.not_toml"
    sentence = N_(
        "Line {line} of the configuration file {path} is not valid TOML: {detail}. Correct that line and try again."
    )
    path: str
    line: int
    detail: str


class ConfigTwice(ConfigError):
    code = "config.twice"
    sentence = N_(
        "Line {line} of the configuration file {path} begins a section, or sets a key, that stands in the file "
        "already. Put what belongs to it there: each stands once."
    )
    path: str
    line: int


class ConfigUnreadable(ConfigError):
    code = "config.unreadable"
    sentence = N_("The configuration file {path} cannot be read: {detail}. Check the disk that it is on.")
    path: str
    detail: str


class ConfigUnknownKey(ConfigError):
    code = "config.unknown_key"
    sentence = N_("The configuration has no key “{key}” ({place}). The keys known there are: {known}.")
    key: str
    place: str
    known: str


class ConfigInvalid(ConfigError):
    code = "config.invalid"
    sentence = N_("The configuration key “{key}” ({place}) cannot be “{value}”: {detail}.")
    key: str
    place: str
    value: str
    detail: str


class ConfigFinding(ConfigError):
    """A value that is well written but that the services cannot work with.  *place* is file and line."""

    key: str
    place: str


class ConfigFileMissing(ConfigFinding):
    code = "config.file_missing"
    sentence = N_("“{key}” ({place}) names the file {path}, which is not there. Put it there, or correct the path.")
    path: str


class ConfigNotAFile(ConfigFinding):
    code = "config.not_a_file"
    sentence = N_("“{key}” ({place}) names {path}, which is a folder. Name the file in it.")
    path: str


class ConfigFileForbidden(ConfigFinding):
    code = "config.file_forbidden"
    sentence = N_("“{key}” ({place}) names {path}, which this user may not read. Run the command with “sudo”.")
    path: str


class ConfigNoCertificate(ConfigFinding):
    code = "config.no_certificate"
    sentence = N_("“{key}” ({place}): {path} holds no certificate in PEM form. Put the right file there.")
    path: str


class ConfigNoKey(ConfigFinding):
    code = "config.no_private_key"
    sentence = N_(
        "“{key}” ({place}): {path} holds no private key in PEM form that opens without a passphrase. Put the right "
        "file there."
    )
    path: str


class ConfigKeyMismatch(ConfigFinding):
    code = "config.key_mismatch"
    sentence = N_(
        "“{key}” ({place}): the private key in {path} does not belong to the certificate in {certificate}. Put the two "
        "files of one pair there."
    )
    path: str
    certificate: str


class ConfigIncomplete(ConfigFinding):
    code = "config.incomplete"
    sentence = N_("“{key}” ({place}) has no effect without “{other}”. Set “{other}” too, or take “{key}” out.")
    other: str


class ConfigPortTwice(ConfigFinding):
    code = "config.port_twice"
    sentence = N_("“{key}” ({place}) is port {port}, and so is “{other}”. Give one of them another port.")
    port: int
    other: str


class ConfigNoHost(ConfigFinding):
    code = "config.no_host"
    sentence = N_(
        "“{key}” ({place}): “{host}” is neither an IP address nor a host name. Give it without http:// and without a "
        "port, as in 192.168.1.20."
    )
    host: str


class ConfigForeignAddress(ConfigFinding):
    code = "config.foreign_address"
    sentence = N_(
        "“{key}” ({place}): this computer has no address “{host}” to listen on. Give one of its own, or 0.0.0.0 for "
        "all of them."
    )
    host: str


class ConfigNoFolder(ConfigFinding):
    code = "config.no_folder"
    sentence = N_("“{key}” ({place}) names {path}, which is not there. Make the folder, or correct the path.")
    path: str


class ConfigNotAFolder(ConfigFinding):
    code = "config.not_a_folder"
    sentence = N_("“{key}” ({place}) names {path}, which is not a folder. Correct the path.")
    path: str


class ConfigFolderForbidden(ConfigFinding):
    code = "config.folder_forbidden"
    sentence = N_(
        "“{key}” ({place}): this user may not write to {path}. On an installed box run the command with “sudo”; "
        "elsewhere correct the path, or who may write there."
    )
    path: str


# --- databases and disk ---------------------------------------------------------------------------------------


class StoreError(LanternError):
    """A database or the state directory cannot be used."""


class StoreTooNew(StoreError):
    code = "store.too_new"
    sentence = N_(
        "The database {database} was written by a newer version (schema {found}; this version knows {known}). "
        "Install the newer version again."
    )
    database: str
    found: int
    known: int


class StateForbidden(StoreError):
    code = "store.forbidden"
    sentence = N_("Only root and the box's own services may look into {path}. Run the command with “sudo”.")
    path: str


class StoreNotReady(StoreError):
    code = "store.not_ready"
    sentence = N_(
        "The database {database} has not been prepared yet. Start the box first: “systemctl start lantern.target”, or "
        "“lantern serve” where it is not installed."
    )
    database: str


class StateUnusable(StoreError):
    code = "store.unusable"
    sentence = N_("The state directory {path} cannot be used: {detail}. Check that it exists and who may write it.")
    path: str
    detail: str


class StoreUnreadable(StoreError):
    code = "store.unreadable"
    sentence = N_(
        "The database cannot be opened ({detail}). Nothing was lost. Check that the disk is mounted, may be written "
        "and is not full; “lantern doctor” says more."
    )
    detail: str


class StoreDamaged(StoreError):
    code = "store.damaged"
    sentence = N_(
        "The database {database} is damaged. It is set aside and rebuilt from the image files when the box starts. "
        "If this stays so for more than some minutes, stop “lantern serve” and start it again."
    )
    database: str


class StoreLookedAt(StoreError):
    code = "store.looked_at"
    sentence = N_(
        "Another process is checking the database {database}, because it was not closed in order. This takes seconds "
        "to minutes. Try again after that."
    )
    database: str


class ReferencesLost(StoreError):
    code = "store.references"
    sentence = N_(
        "The secret key of the case references is lost: {path} is missing or damaged, and the database has no copy. "
        "With a new key the same images would get new references and be counted twice. Restore this file from a "
        "backup."
    )
    path: str


class RescueNeedsRoom(StoreError):
    code = "store.rescue_room"
    sentence = N_(
        "The damaged database {database} cannot be rebuilt: {missing_mb} MB of disk are missing for it. Nothing was "
        "removed. Free that much space; a running box tries again by itself."
    )
    database: str
    missing_mb: int


class RescueImpossible(StoreError):
    code = "store.rescue"
    sentence = N_(
        "The damaged database {database} cannot be rebuilt: {detail}. Nothing was removed. Free some space, check that "
        "the disk may be written, and start the box again."
    )
    database: str
    detail: str


class OutputUnusable(StoreError):
    code = "store.output"
    sentence = N_("The results cannot be written to {path}: {detail}. Name a folder that may be written.")
    path: str
    detail: str


class CaseUnknown(StoreError):
    code = "store.case_unknown"
    sentence = N_("There is no case {case} on this box. “lantern case list” shows the cases.")
    case: str


class RevisionUnknown(StoreError):
    code = "store.revision_unknown"
    sentence = N_(
        "Of revision {revision} of this case nothing is kept. “lantern case show” says which revision is the newest."
    )
    revision: int


# --- processes ------------------------------------------------------------------------------------------------


class ServiceError(LanternError):
    """A process of the box cannot do its work."""


class PortTaken(ServiceError):
    code = "service.port_taken"
    sentence = N_("Another program already listens on {host}:{port}. Stop it or change the port in the configuration.")
    host: str
    port: int


class PortUnusable(ServiceError):
    code = "service.port_unusable"
    sentence = N_(
        "The address {host}:{port} cannot be listened on: {detail}. Check the host and port in the configuration."
    )
    host: str
    port: int
    detail: str


class TlsUnusable(ServiceError):
    code = "service.tls"
    sentence = N_(
        "The TLS files of the DICOM port cannot be used ({detail}). Correct that file; “lantern config check” says "
        "whether the files fit together."
    )
    detail: str


class AlreadyRunning(ServiceError):
    code = "service.already_running"
    sentence = N_("A Lantern is already running on {state}. Stop it first, or give the second one its own [state] dir.")
    state: str


class NotRunning(ServiceError):
    code = "service.not_running"
    sentence = N_("No Lantern is running on {state}. Start it with “lantern serve”.")
    state: str


class ChildWillNotStart(ServiceError):
    code = "service.child"
    sentence = N_("A process that reads images cannot be started ({detail}). Install the box's software again.")
    detail: str


# --- accounts -------------------------------------------------------------------------------------------------


class AccountError(LanternError):
    """An account cannot be made or changed.  Names no account: what was typed may have been a password."""


class AccountExists(AccountError):
    code = "account.exists"
    sentence = N_("There is already an account of this name. Choose another, or “lantern user passwd” for a new code.")


class AccountUnknown(AccountError):
    code = "account.unknown"
    sentence = N_("There is no account of this name. “lantern user list” shows them.")


class AccountNameUnusable(AccountError):
    code = "account.name"
    sentence = N_(
        "An account's name is 1 to {limit} letters, digits, spaces, dots or hyphens, and starts with a letter or digit."
    )
    limit: int


# --- provisioning ---------------------------------------------------------------------------------------------


class ProvisionError(LanternError):
    """The box cannot be given its identity."""


class BoxIdInvalid(ProvisionError):
    code = "provision.box_id"
    sentence = N_("“{box}” cannot be a box's id. Use small letters, digits and hyphens, at most 40, as in clinic-7.")
    box: str


class ProvisionedAlready(ProvisionError):
    code = "provision.already"
    sentence = N_(
        "This box is {box} already and keeps its id and its hospital; nothing was changed. To change the hospital, run "
        "“lantern provision” without options at the box's own console; to change the id, move {folder} away first."
    )
    box: str
    folder: str


class NotProvisioned(ProvisionError):
    code = "provision.not_yet"
    sentence = N_("There are no box keys in {folder} yet. Run “lantern provision --id NAME --hospital FILE” first.")
    folder: str


class OfflineError(LanternError):
    """Files cannot be read here and now."""


class NothingToRead(OfflineError):
    code = "read.nothing"
    sentence = N_(
        "There is no file to read at the given paths. Check them, and that the stick is plugged in and mounted."
    )


class BackgroundInvalid(OfflineError):
    code = "read.background"
    sentence = N_(
        "What was given with --background cannot be used ({detail}). It must be a JSON object, or the path of a file "
        "with one, that says true or false of each fact."
    )
    detail: str


class BackgroundUnknown(OfflineError):
    code = "read.background_unknown"
    sentence = N_("No model of this box has a rule that asks for “{fact}”. Rules ask for: {facts}.")
    fact: str
    facts: str


class TemporaryUnusable(OfflineError):
    code = "read.temporary"
    sentence = N_(
        "The folder for temporary files, {folder}, cannot be used: {detail}. Name another one in front of the command: "
        "TMPDIR=/path/to/folder lantern read …"
    )
    folder: str
    detail: str


class TemporaryFull(OfflineError):
    code = "read.temporary_full"
    sentence = N_(
        "The folder for temporary files, {folder}, is too small: it has {free_mb} MB left, and {kept_mb} MB must stay "
        "free. Name a larger one in front of the command: TMPDIR=/path/to/folder lantern read …"
    )
    folder: str
    free_mb: int
    kept_mb: int
