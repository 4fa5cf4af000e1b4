"""What is installed: the box, or the hospital's end.  Both are installed, taken over by dpkg and removed in one way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import INSTALL_SOURCE_MISSING
from firmware_app.core.language import N_

UNITS: Final = Path("etc/systemd/system")
AVAHI: Final = Path("etc/avahi/services/lantern.service")  # without avahi nobody reads it
_OF_PACKAGES: Final = Path("usr/lib")
"""Where a Debian package puts what an installation writes to /etc: systemd and udev look into both."""
_PREFIX: Final = Path("opt/lantern")


@dataclass(frozen=True)
class Product:
    """Paths are given without the leading slash."""

    name: str
    """Of its Debian package."""
    verb: str
    """What “install”, “configure” and “withdraw” have behind them."""
    tree: Path
    """Its folder in the unpacked Lantern."""
    prefix: Path
    """Where its programs are."""
    command: Path
    state: Path
    settings: Path
    template: str
    """The file in *tree* of which *settings* is written once."""
    sysusers: Path
    tmpfiles: Path
    units: str
    """The pattern of all its units, and of no other product's that may be on the same machine."""
    starts: tuple[str, ...]
    """What is started; the last is there wherever the product is."""
    instances: tuple[str, ...]
    """What is stopped beside these before an upgrade."""
    needs: Path | None
    """What a person has to make before it can start."""
    run_files: tuple[str, ...]
    """What its units leave in /run and say in /etc/issue.d."""
    programs: Mapping[str, str]
    """What it needs that is not its own -> the Debian package that brings it."""
    foreign: str
    """The package among these whose service Debian starts by itself, and must not."""
    ports: tuple[int, ...]
    as_given: bool
    """Its Debian package holds the wanted wheels and no other (`ProgramSource.as_given`)."""
    configured: str
    started: str
    places: Callable[[Path], Iterator[tuple[Path, Path]]]
    """*tree* -> path on the machine, file in *tree*."""

    def collect_files(self, source: Path) -> dict[Path, bytes]:
        """Path on the machine -> content, of everything in the unpacked Lantern that this product has.

        Raises `INSTALL_SOURCE_MISSING`.
        """
        tree = source / self.tree
        if not (tree / self.template).is_file():
            raise INSTALL_SOURCE_MISSING(path=str(self.tree / self.template))
        return {place: file.read_bytes() for place, file in self.places(tree)}


def map_to_package_path(path: Path) -> Path:
    """Where a Debian package has the file that an installation writes to *path*."""
    return path if path == AVAHI or not path.is_relative_to("etc") else _OF_PACKAGES / path.relative_to("etc")


def _list_box_files(tree: Path) -> Iterator[tuple[Path, Path]]:
    for path in sorted((tree / "units").iterdir()):
        yield UNITS / path.name, path
    for path in sorted((tree / "udev").glob("*.rules")):
        yield Path("etc/udev/rules.d") / path.name, path
    for name, place in (
        ("lantern.sysusers", BOX.sysusers),
        ("lantern.tmpfiles", BOX.tmpfiles),
        ("lantern.system.conf", Path("etc/systemd/system.conf.d/lantern.conf")),
        ("lantern.journald.conf", Path("etc/systemd/journald.conf.d/lantern.conf")),
        ("avahi/lantern.service", AVAHI),
        ("nginx.conf.in", _PREFIX / "share" / "nginx.conf.in"),
        ("starting.html", _PREFIX / "share" / "starting.html"),
    ):
        yield place, tree / name


def _list_hospital_files(tree: Path) -> Iterator[tuple[Path, Path]]:
    for unit in HOSPITAL.starts:
        yield UNITS / unit, tree / unit
    yield HOSPITAL.sysusers, tree / "lantern-hospital.sysusers"
    yield HOSPITAL.tmpfiles, tree / "lantern-hospital.tmpfiles"


BOX: Final = Product(
    name="lantern-box",
    verb="",
    tree=Path("systemd"),
    prefix=_PREFIX,
    command=Path("usr/local/bin/lantern"),
    state=Path("var/lib/lantern"),
    settings=Path("etc/lantern/lantern.toml"),
    template="lantern.toml",
    sysusers=Path("etc/sysusers.d/lantern.conf"),
    tmpfiles=Path("etc/tmpfiles.d/lantern.conf"),
    units="lantern[.-][!h]*",
    starts=("lantern.target",),
    instances=("lantern-mount@*",),
    needs=None,
    run_files=(
        "run/systemd/system/lantern-*.d",  # what lantern-setup says of this box
        "run/lantern",
        "run/lantern-[!h]*",
        "run/issue.d/lantern*.issue",
        "etc/issue.d/lantern*.issue",
    ),
    programs={
        "usr/sbin/nginx": "nginx",
        "usr/bin/ip": "iproute2",
        "usr/sbin/avahi-daemon": "avahi-daemon",
        "usr/bin/ntfs-3g": "ntfs-3g",  # Debian's kernel has a driver for every stick that is opened, but for NTFS
        "usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc": "fonts-noto-cjk",  # for reports in Chinese
    },
    foreign="nginx",  # on the port that the box's nginx needs
    ports=(80, 443, 11112),
    as_given=False,
    configured=N_("The configuration {path} is written. “lantern provision” makes this box the clinic's own."),
    started=N_("The box is starting. “lantern doctor” says how it is."),
    places=_list_box_files,
)
HOSPITAL: Final = Product(
    name="lantern-hospital",
    verb="-hospital",
    tree=Path("systemd/hospital"),
    prefix=Path("opt/lantern-hospital"),
    command=Path("usr/local/bin/lantern-hospital"),
    state=Path("var/lib/lantern-hospital"),
    settings=Path("etc/default/lantern-hospital"),
    template="lantern-hospital.default",
    sysusers=Path("etc/sysusers.d/lantern-hospital.conf"),
    tmpfiles=Path("etc/tmpfiles.d/lantern-hospital.conf"),
    units="lantern-hospital*",
    starts=("lantern-hospital-broker.service", "lantern-hospital-enrolment.service", "lantern-hospital.service"),
    instances=(),
    needs=Path("var/lib/lantern-hospital/hospital.json"),
    run_files=(),
    programs={"usr/sbin/mosquitto": "mosquitto"},
    foreign="mosquitto",  # with settings that are not ours
    ports=(),
    as_given=True,
    configured=N_("The options of the hospital's receiver are in {path}."),
    started=N_("The hospital is starting with what was installed: {units}."),
    places=_list_hospital_files,
)
