"""The sections of the configuration file: one model each, every field with a title and a help line.

Unknown keys are refused.  Secrets are never values here, only paths to files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, JsonValue, model_validator

from firmware_app.core.config_types import (
    AbsolutePath,
    AeTitle,
    ConfigSection,
    FindingCode,
    HostAndPort,
    Language,
    Network,
    Port,
    Runtime,
    Seconds,
    Share,
)
from firmware_app.core.peer_sections import PacsSection, WorklistSection
from firmware_app.core.runtimes import RuntimeSettings

DEFAULT_PATH: Final = Path("/etc/lantern/lantern.toml")


def _find_default_state() -> Path:
    if os.geteuid() == 0 or DEFAULT_PATH.exists():  # an installed box: the same folder for all its users
        return Path("/var/lib/lantern")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "lantern"


class BoxSection(ConfigSection):
    """Who this box is."""

    id: str = Field(
        "unprovisioned", title="Box id", description="set by provisioning", pattern=r"^[a-z0-9][a-z0-9-]{0,39}$"
    )
    name: str = Field("Lantern", title="Name", description="shown to people, for example the clinic's name")
    language: Language = Field("zh_CN", title="Language", description="of sentences and reports")
    usual_population: Literal["adult", "children", "ask"] = Field(
        "ask", title="Usual patients", description="whom an image without an age is taken to show; ask: cannot judge"
    )


class StateSection(ConfigSection):
    """Where the box keeps what it was given."""

    dir: AbsolutePath = Field(
        default_factory=_find_default_state, title="State directory", description="images and databases"
    )


class DicomSection(ConfigSection):
    """The DICOM port that modalities send to."""

    host: str = Field("0.0.0.0", title="Address", description="the address to listen on")
    port: Port = Field(11112, title="Port", description="0 takes any free port; `lantern status` tells which")
    ae_title: AeTitle = Field("LANTERN", title="AE title", description="of this box")
    allowed_calling: tuple[AeTitle, ...] = Field((), title="Allowed AE titles", description="empty admits any")
    allowed_addresses: tuple[Network, ...] = Field((), title="Allowed networks", description="CIDR; empty admits any")
    tls_cert: Path | None = Field(None, title="TLS certificate", description="PEM; with it the port speaks TLS only")
    tls_key: Path | None = Field(None, title="TLS key", description="PEM, readable by the gateway only")
    tls_ca: Path | None = Field(None, title="TLS client CA", description="PEM; with it clients need a certificate")
    max_pdu: int = Field(131072, ge=4096, le=1048576, title="Largest PDU", description="bytes, told to the sender")
    max_associations: int = Field(
        16,
        ge=1,
        le=256,
        title="Associations at once",
        description="one address gets half of them; further ones wait or are rejected",
    )
    idle_seconds: float = Field(30, gt=0, le=600, title="Idle limit", description="a silent association is aborted")
    association_seconds: Seconds = Field(3600, title="Total limit", description="the longest one association may take")
    max_object_mb: int = Field(4096, ge=1, title="Largest object", description="MB of one DICOM object")
    commitment_to: dict[AeTitle, HostAndPort] = Field(
        default_factory=dict,
        title="Commitment answers",
        description="where machines listen that ask whether the box keeps their images and do not wait for the answer: "
        '{ CT1 = "192.168.1.20:104" }',
    )


class UsbSection(ConfigSection):
    """Images on a stick."""

    enabled: bool = Field(False, title="Import from USB", description="needs the installed appliance")
    mount_root: Path = Field(Path("/run/lantern/usb"), title="Mount root", description="where sticks are mounted")


class FolderSection(ConfigSection):
    """A folder that is watched for images."""

    path: Path | None = Field(None, title="Watched folder", description="files put there are copied in, never changed")


class ViewerSection(ConfigSection):
    """The doctor's web page."""

    host: str = Field("0.0.0.0", title="Address", description="the address to listen on")
    port: Port = Field(8080, title="Port", description="0 takes any free port")
    allowed_hosts: tuple[str, ...] = Field(
        (), title="Names of this box", description="host names by which browsers may ask for it; addresses always may"
    )
    metrics_port: Port | None = Field(
        9464, title="Metrics", description="for Prometheus, on this machine only (127.0.0.1); 0 takes any free port"
    )
    behind_front: bool = Field(
        False,
        title="Behind the TLS front",
        description="the installed box's nginx; believe what it says from 127.0.0.1",
    )


class DicomwebSection(ConfigSection):
    """DICOMweb behind the TLS front, for holders of a client certificate: images in by STOW-RS, results out."""

    enabled: bool = Field(False, title="DICOMweb", description="needs the installed box's TLS front")
    client_ca: Path | None = Field(None, title="Client CA", description="PEM; whom it gave a certificate may connect")
    max_request_mb: int = Field(512, ge=1, le=4096, title="Largest request", description="MB of all its objects")
    results: bool = Field(
        False, title="Give results", description="let them search and fetch the results, with the patients' names"
    )
    results_mb: int = Field(4096, ge=16, title="Room for results", description="MB; the oldest cases go first")

    @property
    def serves_results(self) -> bool:
        """Whether viewers may fetch results."""
        return self.enabled and self.results

    @model_validator(mode="after")
    def _require_client_ca(self) -> DicomwebSection:
        if self.enabled and self.client_ca is None:
            raise ValueError("enabled needs client_ca: without it anybody could connect")
        return self


class UplinkSection(ConfigSection):
    """The sealed line to the county hospital."""

    enabled: bool = Field(False, title="Send summaries", description="needs a provisioned box")
    host: str = Field("", title="Broker", description="host name of the MQTT broker")
    port: Port = Field(8883, title="Port", description="of the MQTT broker")
    tls_ca: Path | None = Field(None, title="Broker's CA", description="PEM")
    tls_cert: Path | None = Field(None, title="Box certificate", description="PEM")
    tls_key: Path | None = Field(None, title="Box key", description="PEM")
    identity: Path | None = Field(None, title="Signing key", description="PEM, Ed25519, readable by the uplink only")
    hospital: Path | None = Field(None, title="Hospital", description="the hospital's public bundle")
    budget_mb: int = Field(32, ge=1, title="Disk budget", description="MB for summaries while there is no line")
    health_seconds: float = Field(300, ge=1, title="Health", description="how often the box says how it is")


class ReaderSection(ConfigSection):
    """How images are read."""

    workers: int = Field(1, ge=1, le=1, title="Readers", description="pairs of decode and inference children")
    runtimes: tuple[Runtime, ...] = Field(
        (), title="Runtimes", description="only these, in this order; empty: the fastest that is right on this box"
    )
    precision: Literal["any", "int8", "fp16", "fp32"] = Field(
        "any", title="Precision", description="of the models, as far as they have it; any: the fastest that is right"
    )
    prevalence: dict[FindingCode, Share] = Field(
        default_factory=dict,
        title="Prevalence",
        description="share of this clinic's films that show a finding, by its code: { pneumonia = 0.02 }",
    )
    threads: int = Field(0, ge=0, le=64, title="Threads", description="of the inference child; 0 means all cores")
    decode_seconds: Seconds = Field(20, title="Decode limit", description="the child is replaced after it")
    infer_seconds: Seconds = Field(20, title="Inference limit", description="the child is replaced after it")
    memory_mb: int = Field(
        384, ge=256, title="Decode memory", description="address space of the decode child above its start"
    )
    quiet_seconds: Seconds = Field(5, title="Quiet time", description="after it a study is taken as complete")


class CalibrationSection(ConfigSection):
    """Which films the clinic is asked to confirm (docs/local-calibration.md)."""

    before: float = Field(
        0.1, ge=0, lt=1, title="Asked before", description="share of films that the doctor reads first"
    )
    low: Share = Field(0.1, title="Asked of low scores", description="share of films below the threshold asked for")


class ReviewSection(ConfigSection):
    """How many doctors read a case."""

    two_readers: bool = Field(
        False,
        title="Two readers",
        description="two doctors read each case without seeing each other's words; where they differ a third settles",
    )


class PacksSection(ConfigSection):
    """The model packs."""

    dir: Path | None = Field(None, title="Packs", description="defaults to the shipped packs")
    prefer: tuple[str, ...] = Field(
        (),
        title="Preferred",
        description="names of packs that are asked first, in this order, where an image fits several",
    )
    trial_images: int = Field(
        50,
        ge=0,
        le=1000,
        title="Trial of a new version",
        description="so many images are read by a new version too before it replaces the old one; 0: it does at once",
    )


class SoftwareSection(ConfigSection):
    """The signed channel of the software of a flashed or packaged box (docs/decisions/software-channel.md)."""

    repository: str = Field(
        "",
        title="Software repository",
        description="a folder, or an https address that the box asks (GET only) for signed software; empty: none",
        pattern=r"^(https?://\S+|/.*)?$",
    )
    automatic: bool = Field(
        False, title="By itself", description="install by night what the channel offers; off: a technician says so"
    )


class FhirSection(ConfigSection):
    """The clinic's information system, where it speaks FHIR R4."""

    url: str = Field(
        "", title="FHIR server", description="its base address, https://…; empty: none", pattern=r"^(https?://\S+)?$"
    )
    token: Path | None = Field(None, title="Token", description="a file with the bearer token that the server asks for")
    tls_ca: Path | None = Field(None, title="CA of the server", description="PEM; without it the system's are trusted")


class ExportSection(ConfigSection):
    """De-identified copies of cases, for a stick that a person carries away."""

    enabled: bool = Field(False, title="Export", description="off: none leaves; on: `lantern case export` may write")
    feedback_key: Path | None = Field(
        None,
        title="Model engineer's key",
        description="feedback.pub; with it, and with enabled, doctors may give films with consent to learn from",
    )

    @property
    def gives_feedback(self) -> bool:
        """Whether a person may export confirmed films for the model engineer."""
        return self.enabled and self.feedback_key is not None


class RetentionSection(ConfigSection):
    """What happens when the disk fills."""

    high_water_free_mb: int = Field(
        512, ge=16, title="High-water mark", description="MB that stay free; below it no image is taken"
    )
    ballast_mb: int = Field(64, ge=0, title="Ballast", description="MB preallocated, released in an emergency")
    room_mb: int = Field(
        4096, ge=0, title="Room", description="MB; with less free the oldest finished cases are deleted; 0: never"
    )
    days: int = Field(0, ge=0, title="Longest", description="older finished cases are deleted; 0: never for their age")
    keep_days: int = Field(
        365, ge=1, title="Shortest", description="what came in the last so many days stays, however full the disk is"
    )

    @model_validator(mode="after")
    def _require_order(self) -> RetentionSection:
        if 0 < self.days < self.keep_days:
            raise ValueError(f"days may not be less than keep_days, which is {self.keep_days}")
        return self


class BackupSection(ConfigSection):
    """Copies of the databases."""

    dir: AbsolutePath | None = Field(
        None, title="Backups", description="a folder on another disk of the box; empty: in the state directory"
    )
    keep: int = Field(7, ge=1, le=1000, title="Copies", description="how many are kept, the newest")
    locked: AbsolutePath | None = Field(
        None,
        title="Locked backups",
        description="a folder on a disk or share of the clinic for encrypted backups, images too (lantern backup code)",
    )
    locked_keep: int = Field(
        7, ge=1, le=1000, title="Locked nights", description="how many are kept, the newest; what none needs goes"
    )
    every_hours: float = Field(1, ge=0, title="Pause", description="hours from one copy to the next")


class Config(ConfigSection):
    """The whole file."""

    box: BoxSection = Field(default_factory=BoxSection)
    state: StateSection = Field(default_factory=StateSection)
    dicom: DicomSection = Field(default_factory=DicomSection)
    worklist: WorklistSection = Field(default_factory=WorklistSection)
    usb: UsbSection = Field(default_factory=UsbSection)
    folder: FolderSection = Field(default_factory=FolderSection)
    viewer: ViewerSection = Field(default_factory=ViewerSection)
    dicomweb: DicomwebSection = Field(default_factory=DicomwebSection)
    uplink: UplinkSection = Field(default_factory=UplinkSection)
    reader: ReaderSection = Field(default_factory=ReaderSection)
    calibration: CalibrationSection = Field(default_factory=CalibrationSection)
    review: ReviewSection = Field(default_factory=ReviewSection)
    packs: PacksSection = Field(default_factory=PacksSection)
    software: SoftwareSection = Field(default_factory=SoftwareSection)
    pacs: PacsSection = Field(default_factory=PacsSection)
    fhir: FhirSection = Field(default_factory=FhirSection)
    export: ExportSection = Field(default_factory=ExportSection)
    retention: RetentionSection = Field(default_factory=RetentionSection)
    backup: BackupSection = Field(default_factory=BackupSection)
    runtimes: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    """A section for each runtime that has one, with the keys of that runtime's own ``Config``; `load` checks them."""

    @property
    def runtime_settings(self) -> RuntimeSettings:
        """The settings for the runtimes."""
        return RuntimeSettings(self.reader.threads, self.runtimes)
