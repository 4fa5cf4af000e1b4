"""One archive as it is configured, and its TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from firmware_app.core.peer_sections import ArchiveSection, PeerSection
from firmware_app.core.settings import Config
from firmware_app.dicom.errors import PACS_TLS


@dataclass(frozen=True, slots=True)
class Peer:
    """A machine by its name in the configuration, and the AE title by which this box calls it."""

    name: str
    settings: PeerSection
    own_title: str

    @property
    def title(self) -> str:
        return self.settings.ae_title

    @property
    def address(self) -> str:
        """What tells this archive from another that has its name in the configuration: host, port and AE title."""
        return f"{self.settings.host}:{self.settings.port} {self.title}"

    @property
    def section(self) -> str:
        """Where the configuration describes it."""
        return {"pacs": "pacs", "worklist": "worklist.hospital"}.get(self.name, f"pacs.more.{self.name}")

    def tls(self) -> ssl.SSLContext | None:
        """TLS 1.2 or newer (PS3.15 B.9), or None; raises `PACS_TLS`.

        The archive must show a certificate of `tls_ca`; its host name is not compared, because archives are dialled by
        address and the authority is the clinic's own.
        """
        if self.settings.tls_ca is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        try:
            context.load_verify_locations(self.settings.tls_ca)
            if self.settings.tls_cert is not None:
                context.load_cert_chain(self.settings.tls_cert, self.settings.tls_key)
        except OSError as error:  # ssl.SSLError is one
            from firmware_app.core import certificates  # a connection that works does not load it

            raise PACS_TLS(
                pacs=self.title, detail=certificates.explain_tls_error(self.section, self.settings, error)
            ) from None
        return context


@dataclass(frozen=True, slots=True)
class ArchivePeer(Peer):
    """An archive, with what it gets."""

    settings: ArchiveSection

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of object that it gets."""
        return frozenset(self.settings.objects) if self.settings.send else frozenset()


def list_archives(config: Config) -> tuple[ArchivePeer, ...]:
    """The archives that have an address, the section's own first."""
    return tuple(ArchivePeer(name, one, config.dicom.ae_title) for name, one in config.pacs.archives.items())


def find_peer(config: Config, calling_ae: str) -> Peer | None:
    """Where the machine with this AE title can be dialled; None where the configuration does not say."""
    for peer in list_archives(config):
        if peer.title == calling_ae:
            return peer
    place = config.dicom.commitment_to.get(calling_ae)
    if place is None:
        return None
    host, _, port = place.rpartition(":")
    return Peer("", ArchiveSection(host=host, port=int(port), ae_title=calling_ae), config.dicom.ae_title)


def list_ae_titles(config: Config) -> dict[str, str]:
    """The AE titles of the archives by name, for sentences."""
    return {name: one.ae_title for name, one in config.pacs.archives.items()}
