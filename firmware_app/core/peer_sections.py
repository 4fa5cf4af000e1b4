"""The sections of the configuration file about machines that the box dials: archives and the hospital's worklist."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from firmware_app.core.config_types import (
    RESULT_KINDS,
    AeTitle,
    ArchiveName,
    ConfigSection,
    Modality,
    Port,
    ResultKind,
    Seconds,
)


class PeerSection(ConfigSection):
    """A machine that the box dials."""

    host: str = Field("", title="Address", description="empty: none")
    port: Port = Field(104, title="Port", description="where it listens")
    ae_title: AeTitle = Field("PACS", title="AE title", description="of the machine there")
    tls_ca: Path | None = Field(None, title="Its CA", description="PEM; with it the connection is TLS")
    tls_cert: Path | None = Field(None, title="Box certificate", description="PEM, where it asks for one")
    tls_key: Path | None = Field(None, title="Box key", description="PEM, readable by the sender only")


class HospitalWorklistSection(PeerSection):
    """The hospital's own worklist, whose patients are told to the box's machines too."""

    ae_title: AeTitle = Field("WORKLIST", title="AE title", description="of the hospital's worklist")
    every_seconds: Seconds = Field(60, title="How often", description="it is asked")


class WorklistSection(ConfigSection):
    """The registered patients that imaging machines may ask for (Modality Worklist)."""

    stations: dict[AeTitle, Modality] = Field(
        default_factory=dict,
        title="Machines",
        description='AE titles that may ask, each with its modality: { XRAY1 = "DX", US1 = "US" }; empty: none',
    )
    character_set: Literal["ISO_IR 192", "GB18030", "ISO_IR 6"] = Field(
        "ISO_IR 192", title="Character set", description="of the answers; ISO_IR 6: pinyin only, for an old console"
    )
    days: int = Field(1, ge=1, le=30, title="Days", description="so long a patient without images stays on the list")
    hospital: HospitalWorklistSection = Field(
        default_factory=HospitalWorklistSection,
        title="Hospital's worklist",
        description='asked for its patients: { host = "10.0.0.5", port = 104, ae_title = "RIS" }; without host: none',
    )


class ArchiveSection(PeerSection):
    """One archive (PACS) of the clinic."""

    host: str = Field("", title="PACS", description="its address; empty: none")
    port: Port = Field(104, title="Port", description="of the PACS")
    ae_title: AeTitle = Field("PACS", title="AE title", description="of the PACS")
    send: bool = Field(False, title="Send results", description="what the box found, with the patient's name")
    objects: tuple[ResultKind, ...] = Field(
        RESULT_KINDS,
        title="Objects",
        description="sr: report; sc: marked pictures; seg: segmentation; pr: presentation state; pdf: document; "
        "picture: an image that came without a DICOM header",
    )
    commitment: bool = Field(
        True, title="Storage Commitment", description="ask the PACS, where it can say so, whether it keeps the objects"
    )
    query: bool = Field(
        False, title="Earlier studies", description="may be searched for a patient's earlier studies (C-FIND, C-GET)"
    )
    issuer: str = Field(
        "",
        max_length=64,
        title="Issuer of patient numbers",
        description="who gives out the patient numbers of this PACS and of the clinic's machines, where an image does "
        "not say so (Issuer of Patient ID); empty: not known, and a person confirms each study",
    )
    tls_ca: Path | None = Field(None, title="CA of the PACS", description="PEM; with it the connection is TLS")
    tls_cert: Path | None = Field(None, title="Box certificate", description="PEM, where the PACS asks for one")
    tls_key: Path | None = Field(
        None, title="Box key", description="PEM, readable by the sender only, and with query by the gateway"
    )


class PacsSection(ArchiveSection):
    """The clinic's own archive; the keys hold for it and, each on its own, for those in more."""

    wait_seconds: Seconds = Field(
        30, title="Wait", description="results are sent when a case has not changed for so long"
    )
    queue_mb: int = Field(
        2048, ge=16, title="Queue", description="MB of objects on the disk that wait; further cases wait to be made"
    )
    more: dict[ArchiveName, ArchiveSection] = Field(
        default_factory=dict, title="More archives", description='{ county = { host = "10.0.0.5", send = true } }'
    )

    @property
    def archives(self) -> dict[str, ArchiveSection]:
        """The archives that have an address, by name; this section's own is called ``pacs``."""
        named: dict[str, ArchiveSection] = {"pacs": self, **self.more}
        return {name: archive for name, archive in named.items() if archive.host}

    @property
    def sends_results(self) -> bool:
        """Whether any archive gets results."""
        return any(archive.send for archive in self.archives.values())

    @property
    def searchable_archives(self) -> dict[str, ArchiveSection]:
        """The archives that may be searched for earlier studies."""
        return {name: archive for name, archive in self.archives.items() if archive.query}

    @model_validator(mode="after")
    def _names_are_unique(self) -> PacsSection:
        if "pacs" in self.more:
            raise ValueError("pacs is the name of this section's own archive")
        return self
