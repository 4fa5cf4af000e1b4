"""Check a valid configuration for `lantern config check`: whether the services can work with what it names.

Each finding names the key and the line.  Nothing is created, dialled or kept open.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from firmware_app.core import certificates
from firmware_app.core.config_sections import Config
from firmware_app.core.config_source import ConfigSource
from firmware_app.core.errors import (
    CONFIG_FOREIGN_ADDRESS,
    CONFIG_INCOMPLETE,
    CONFIG_NO_FOLDER,
    CONFIG_NO_HOST,
    CONFIG_NOT_A_FOLDER,
    CONFIG_PORT_TWICE,
    ConfigFinding,
    ConfigFolderForbidden,
)

# RFC 1123 2.1, with the underscore that Windows names and mDNS services have.
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_EVERY: Final = frozenset({"0.0.0.0", "::", ""})
_METRICS: Final = "127.0.0.1"


def check_config(config: Config, source: ConfigSource) -> list[ConfigFinding]:
    """Everything that a service would stumble over, in the order of the file's sections."""

    def at(*keys: str) -> dict[str, str]:
        return {"key": ".".join(keys), "place": source.locate(keys)}

    return [finding for part in _PARTS for finding in part(config, at)]


_At = Callable[..., dict[str, str]]


# --- what is listened on ------------------------------------------------------------------------------------------


def _check_ports(config: Config, at: _At) -> Iterator[ConfigFinding]:
    """Two services on one port, and addresses that this machine does not have."""
    listeners = [
        (("dicom", "port"), config.dicom.host, config.dicom.port),
        (("viewer", "port"), config.viewer.host, config.viewer.port),
        (("viewer", "metrics_port"), _METRICS, config.viewer.metrics_port),
    ]
    for number, (keys, host, port) in enumerate(listeners):
        for other, other_host, other_port in listeners[:number]:
            if port and port == other_port and (host == other_host or {host, other_host} & _EVERY):
                if at(*keys)["place"] == at()["place"]:  # a default; the other one is written
                    keys, other = other, keys
                yield CONFIG_PORT_TWICE(**at(*keys), port=port, other=".".join(other))
    for section, host in (("dicom", config.dicom.host), ("viewer", config.viewer.host)):
        if not is_host_name(host):
            yield CONFIG_NO_HOST(**at(section, "host"), host=host)
        elif not _is_own(host):
            yield CONFIG_FOREIGN_ADDRESS(**at(section, "host"), host=host)


def _is_own(host: str) -> bool:
    """Whether this machine can listen on *host*."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except socket.gaierror:
        return False
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


# --- what is dialled ----------------------------------------------------------------------------------------------


def _check_hosts(config: Config, at: _At) -> Iterator[ConfigFinding]:
    named = [
        (("uplink", "host"), config.uplink.host),
        (("pacs", "host"), config.pacs.host),
        *((("pacs", "more", name, "host"), archive.host) for name, archive in config.pacs.more.items()),
        (("worklist", "hospital", "host"), config.worklist.hospital.host),
        *(
            (("dicom", "commitment_to", title), place.rpartition(":")[0])
            for title, place in config.dicom.commitment_to.items()
        ),
        (("fhir", "url"), _parse_url_host(config.fhir.url)),
        (("software", "repository"), _parse_url_host(config.software.repository)),
    ]
    archives = [(("pacs",), config.pacs), *((("pacs", "more", name), one) for name, one in config.pacs.more.items())]
    for where, archive in archives:
        for use in ("send", "query"):
            if getattr(archive, use) and not archive.host:
                yield CONFIG_INCOMPLETE(**at(*where, use), other=".".join((*where, "host")))
    if config.uplink.enabled and not config.uplink.host:
        yield CONFIG_INCOMPLETE(**at("uplink", "enabled"), other="uplink.host")
    for keys, host in named:
        if host and not is_host_name(host):
            yield CONFIG_NO_HOST(**at(*keys), host=host)


def _parse_url_host(url: str) -> str:
    """The host of *url*; empty for none and for a folder, and the whole of what is no address."""
    if not url or url.startswith("/"):
        return ""
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def is_host_name(text: str) -> bool:
    """Whether *text* is written like an IP address or a host name; no name is looked up."""
    try:
        ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        # A last label of digits only is a mistyped address (RFC 3696 2: no top-level domain is all digits).
        return len(text) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
    return True


# --- files and folders --------------------------------------------------------------------------------------------


def _check_tls(config: Config, at: _At) -> Iterator[ConfigFinding]:
    sections: list[tuple[tuple[str, ...], certificates.TlsSettings]] = [
        (("dicom",), config.dicom),
        *([(("uplink",), config.uplink)] if config.uplink.enabled else []),  # before, provisioning is not at its end
        (("pacs",), config.pacs),
        *((("pacs", "more", name), archive) for name, archive in config.pacs.more.items()),
        (("worklist", "hospital"), config.worklist.hospital),
    ]
    for keys, settings in sections:
        yield from certificates.find_tls_problems(keys, settings, lambda named: at(*named)["place"])
        # The port of the box speaks TLS for its certificate, a dialled one for the other side's authority.
        has, needs = ("tls_ca", "tls_cert") if keys == ("dicom",) else ("tls_cert", "tls_ca")
        if getattr(settings, has) is not None and getattr(settings, needs) is None:
            yield CONFIG_INCOMPLETE(**at(*keys, has), other=".".join((*keys, needs)))
    authorities = {("fhir", "tls_ca"): config.fhir.tls_ca, ("dicomweb", "client_ca"): config.dicomweb.client_ca}
    for keys, path in authorities.items():
        if path is not None:
            yield from certificates.find_certificate_problems(path, at(*keys))


def _check_files(config: Config, at: _At) -> Iterator[ConfigFinding]:
    named = [
        (("uplink", "identity"), config.uplink.identity),
        (("uplink", "hospital"), config.uplink.hospital),
        (("fhir", "token"), config.fhir.token),
        (("export", "feedback_key"), config.export.feedback_key),
    ]
    for keys, path in named:
        if path is None or certificates.is_unit_credential(path):
            continue
        if (finding := certificates.find_file_problem(path, at(*keys))) is not None:
            yield finding


def _check_folders(config: Config, at: _At) -> Iterator[ConfigFinding]:
    repository = config.software.repository
    # Whether the box makes the folder itself, and whether it writes there.
    named: list[tuple[tuple[str, ...], Path | None, bool, bool]] = [
        (("state", "dir"), config.state.dir, True, True),
        (("folder", "path"), config.folder.path, False, False),
        (("packs", "dir"), config.packs.dir, False, False),
        (("backup", "dir"), config.backup.dir, True, True),
        (("backup", "locked"), config.backup.locked, True, True),
        (("software", "repository"), Path(repository) if repository.startswith("/") else None, False, False),
    ]
    for keys, path, is_made, is_written in named:
        if path is None:
            continue
        nearest = (
            next(parent for parent in (path, *path.parents) if os.path.lexists(parent)) if path.is_absolute() else path
        )
        if path.is_dir():
            if is_written and not os.access(path, os.W_OK | os.X_OK):
                yield ConfigFolderForbidden(**at(*keys), path=str(path))
        elif not nearest.is_dir() and os.path.lexists(nearest):
            yield CONFIG_NOT_A_FOLDER(**at(*keys), path=str(nearest))
        elif not is_made:
            yield CONFIG_NO_FOLDER(**at(*keys), path=str(path))
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield ConfigFolderForbidden(**at(*keys), path=str(nearest))


_PARTS: Final = (_check_ports, _check_hosts, _check_tls, _check_files, _check_folders)
