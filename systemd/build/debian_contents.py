"""What the two Debian packages are: lantern-box and lantern-hospital.  `debian_package` writes either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.appliance.installation import hospital_installer
from firmware_app.appliance.installation.installer import AVAHI, PROGRAMS, collect_files, package_path
from firmware_app.appliance.installation.target_system import CONFIG, PREFIX, STATE
from firmware_app.core.language import N_

_UNITS: Final = Path("usr/lib/systemd/system")
UPGRADES: Final = Path("etc/apt/apt.conf.d/52lantern-box")  # apt reads its settings nowhere else


@dataclass(frozen=True)
class Contents:
    """One package; paths are given without the leading slash."""

    name: str
    prefix: Path
    """Where postinst makes the programs."""
    commands: tuple[str, ...]
    """What of them is linked to /usr/bin."""
    state: Path
    """What a purge asks about."""
    settings: Path | None
    """A folder that a purge removes, and that dpkg knows nothing of."""
    depends: tuple[str, ...]
    recommends: tuple[str, ...]
    files: Callable[[Path], dict[Path, bytes]]
    """The unpacked Lantern -> path on the machine -> content."""
    conffiles: tuple[Path, ...]
    libraries: frozenset[str] | None
    """The distributions whose wheels are in it; None where all are that `make wheels` has fetched."""
    unused: tuple[str, ...]
    """Folders that are left out of Lantern's own wheel."""
    verb: str
    """“configure” and “withdraw” of `firmware_app.appliance.installation` are this package's with this behind them."""
    remove: str
    remove_more: str
    left: str
    """What stays in *state* unless somebody says that it may go."""
    description: str


def _of_box(source: Path) -> dict[Path, bytes]:
    of_debian = source / "systemd/debian"
    files = {
        package_path(path): content
        for path, content in collect_files(source).items()
        if not path.is_relative_to(PREFIX)
    }
    night = (of_debian / "apt-night.conf").read_bytes()
    not_on_an_image = (of_debian / "apt-image.conf").read_bytes()
    return files | {
        _UNITS / "nginx.service.d/lantern-box.conf": (of_debian / "nginx.service.conf").read_bytes(),
        _UNITS / "apt-daily-upgrade.timer.d/lantern-box.conf": night,
        _UNITS / "apt-daily-upgrade.service.d/lantern-box.conf": not_on_an_image,
        _UNITS / "apt-daily.service.d/lantern-box.conf": not_on_an_image,
        UPGRADES: (of_debian / "upgrades.conf").read_bytes(),
    }


def _of_hospital(source: Path) -> dict[Path, bytes]:
    folder = source / "systemd/hospital"
    files = {package_path(place): (folder / name).read_bytes() for name, place in hospital_installer.PLACES.items()}
    return files | {hospital_installer.SETTINGS: (folder / "lantern-hospital.default").read_bytes()}


BOX: Final = Contents(
    name="lantern-box",
    prefix=PREFIX,
    commands=("lantern",),
    state=STATE,
    settings=CONFIG,
    depends=("udev", *sorted(PROGRAMS.values())),
    recommends=("systemd-timesyncd", "unattended-upgrades"),
    files=_of_box,
    conffiles=(AVAHI, UPGRADES),
    libraries=None,
    unused=(),
    verb="",
    remove=N_("Remove all images and readings of patients?"),
    remove_more=N_(
        "/var/lib/lantern holds the images of patients, their readings, the accounts and the keys of this box. Nothing "
        "brings them back. Without your consent they stay where they are."
    ),
    left="the images of patients",
    description="""\
Description: box that reads X-rays and ultrasound in a grassroots clinic
 Lantern takes images over DICOM or from a USB stick, loses none in a power
 cut, reads them with small models on the processor, and shows the doctor in
 a browser where a model looked and how sure it is, or that it cannot judge.
 .
 It is not a medical device and not for diagnostic use without a doctor.
""",
)
HOSPITAL: Final = Contents(
    name=hospital_installer.NAME,
    prefix=hospital_installer.PREFIX,
    commands=("lantern-hospital",),
    state=hospital_installer.STATE,
    settings=None,
    depends=("mosquitto",),
    recommends=("systemd-timesyncd",),
    files=_of_hospital,
    conffiles=(hospital_installer.SETTINGS,),
    libraries=frozenset(
        {
            "annotated-types",
            "blinker",
            "cffi",
            "click",
            "cryptography",
            "flask",
            "itsdangerous",
            "jinja2",
            "markupsafe",
            "paho-mqtt",
            "pip",
            "pycparser",
            "pydantic",
            "pydantic-core",
            "segno",
            "typing-extensions",
            "typing-inspection",
            "waitress",
            "werkzeug",
        }
    ),
    unused=("firmware_app/_models/", "converters/"),
    verb="-hospital",
    remove=N_("Remove the hospital's keys and everything that boxes have sent?"),
    remove_more=N_(
        "/var/lib/lantern-hospital holds the hospital's keys, the list of its boxes and all that they have sent. "
        "Without the keys every box has to be enrolled again. Without your consent they stay where they are."
    ),
    left="the hospital's keys and all that boxes have sent",
    description="""\
Description: county hospital's end of Lantern: broker, receiver and page
 It enrols the boxes of clinics, takes their sealed summaries over MQTT with
 TLS, counts each once, and shows urgent cases and the state of every box in
 a browser. A summary holds numbers, never an image and never a name.
 .
 It is not a medical device and not for diagnostic use without a doctor.
""",
)
BY_NAME: Final[Mapping[str, Contents]] = {one.name: one for one in (BOX, HOSPITAL)}
