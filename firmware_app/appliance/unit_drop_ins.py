"""The settings of the units for this one box, as drop-ins (systemd.unit(5)) that are written at each boot.

A unit as it is installed grants nothing that only some boxes have.  What this one has (the keys of its line,
a port below 1024, another disk for backups) is granted by ``UNIT.d/50-this-box.conf`` below ``/run``, and gone with it.
No unit gets an NPU or GPU: every runtime runs on the CPU.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from firmware_app.core import key_files
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

NAME: Final = "50-this-box.conf"
_UNPRIVILEGED_PORT: Final = 1024
_PRIVATE: Final = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "169.254.0.0/16",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1",
        "fe80::/10",
        "fc00::/7",
    )
)
"""What the units may dial anyway."""
DropIns = Mapping[str, tuple[str, ...]]


def make_drop_ins(config: Config, state: StateDir) -> DropIns:
    """The lines of each unit's drop-in; a unit that needs none is not there."""
    lines_of = {
        "lantern-gateway.service": (
            *_allow_low_port(config),
            *_allow_addresses(config),
            *_allow_searched_archives(config),
            *_expose_watched_folder(config),
        ),
        "lantern-uplink.service": tuple(_load_credentials(config)),
        "lantern-sender.service": tuple(_allow_archives(config)),
        "lantern-backup.service": tuple(_allow_backup_folders(config, state)),
    }
    return {unit: lines for unit, lines in lines_of.items() if lines}


def write_drop_ins(units: Path, drop_ins: DropIns) -> bool:
    """Make *drop_ins* the only ones. True when anything changed."""
    changed = False
    for old in units.glob(f"*.d/{NAME}"):
        if old.parent.name.removesuffix(".d") not in drop_ins:
            old.unlink()
            changed = True
    for unit, lines in drop_ins.items():
        path = units / f"{unit}.d" / NAME
        text = "\n".join(["# Written by lantern-setup at each boot.", "[Service]", *lines, ""])
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            for made, mode in ((path.parent, 0o755), (path, 0o644)):
                made.chmod(mode)  # whatever the umask: anybody may read what a unit is granted
            changed = True
    return changed


def _load_credentials(config: Config) -> Iterator[str]:
    """The line's private keys are root's; the uplink gets a copy of them in memory, and its unit alone."""
    for path in (config.uplink.identity, config.uplink.tls_key):
        if path is None:
            continue
        # A sealed key lies where provisioning makes keys; the configuration names the credential then.
        sealed = config.state.dir / "line" / (path.name + key_files.SEALED_SUFFIX)
        if sealed.exists():
            yield f"LoadCredentialEncrypted={path.name}:{sealed}"
        elif path.exists():
            yield f"LoadCredential={path.name}:{path}"


def _allow_low_port(config: Config) -> Iterator[str]:
    """DICOM's own port is 104 (PS3.8 9.1.1), which the kernel keeps for those who have this capability."""
    if 0 < config.dicom.port < _UNPRIVILEGED_PORT:
        yield "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"
        yield "AmbientCapabilities=CAP_NET_BIND_SERVICE"
        yield "PrivateUsers=no"  # where the capability would be worth nothing


def _allow_addresses(config: Config) -> Iterator[str]:
    if config.dicom.allowed_addresses:
        yield f"IPAddressAllow={' '.join(config.dicom.allowed_addresses)}"


def _allow_archives(config: Config) -> Iterator[str]:
    """Archives and machines outside the private networks; one that has a name instead of an address may be anywhere."""
    dialled = [archive.host for archive in config.pacs.archives.values()]
    dialled += [place.rpartition(":")[0] for place in config.dicom.commitment_to.values()]
    yield from _allow_public_hosts([*dialled, *filter(None, (config.worklist.hospital.host,))])


def _allow_searched_archives(config: Config) -> Iterator[str]:
    """The archives that the gateway searches for earlier studies."""
    yield from _allow_public_hosts([archive.host for archive in config.pacs.searchable_archives.values()])


def _allow_public_hosts(dialled: list[str]) -> Iterator[str]:
    beyond = [host for host in dialled if not _is_private(host)]
    if beyond:
        yield f"IPAddressAllow={' '.join(dict.fromkeys(host if _is_address(host) else 'any' for host in beyond))}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_private(host: str) -> bool:
    return _is_address(host) and any(ip_address(host) in network for network in _PRIVATE)


def _expose_watched_folder(config: Config) -> Iterator[str]:
    """A watched folder in somebody's home is hidden from the unit unless it is shown."""
    folder = config.folder.path
    if folder is not None and folder.is_relative_to("/home"):
        yield "ProtectHome=tmpfs"
        yield f"BindReadOnlyPaths=-{folder}"


def _allow_backup_folders(config: Config, state: StateDir) -> Iterator[str]:
    if config.backup.dir is not None and not config.backup.dir.is_relative_to(state.root):
        yield f"ReadWritePaths=-{config.backup.dir}"
    if config.backup.locked is not None:  # the unit hides the images, which a locked backup holds
        hidden = ("line", "incoming", "display", "provision", "software", "outgoing", "results")
        yield f"ReadWritePaths=-{config.backup.locked}"
        yield "InaccessiblePaths="
        yield f"InaccessiblePaths={' '.join(f'-{state.root / name}' for name in hidden)}"
        yield f"ReadOnlyPaths=-{state.images}"
        above = (config.backup.locked, *config.backup.locked.parents[:-1])
        mounts = " ".join(f"{_escape_path(str(path)[1:])}.mount" for path in above)
        yield "[Unit]"  # what /etc/fstab has there is mounted again before each run: a server was off, a plug was out
        yield f"Wants={mounts}"
        yield f"After={mounts}"


def _escape_path(path: str) -> str:
    """As systemd-escape(1) --path writes one."""
    return re.sub(r"^\.|[^A-Za-z0-9:_./]", lambda found: f"\\x{ord(found[0]):02x}", path).replace("/", "-")
