"""What the two Debian packages are: lantern-box and lantern-hospital.  `debian_package` writes either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.appliance.installation import product
from firmware_app.appliance.installation.product import Product, map_to_package_path
from firmware_app.core.language import N_

_UNITS: Final = Path("usr/lib/systemd/system")
UPGRADES: Final = Path("etc/apt/apt.conf.d/52lantern-box")  # apt reads its settings nowhere else


@dataclass(frozen=True)
class Contents:
    """One package; paths are given without the leading slash."""

    product: Product
    purged: Path | None
    """A folder of settings that a purge removes, and that dpkg knows nothing of."""
    depends: tuple[str, ...]
    recommends: tuple[str, ...]
    more_files: Mapping[Path, str]
    """What the package alone brings: path on the machine -> file in `systemd`."""
    conffiles: tuple[Path, ...]
    libraries: frozenset[str] | None
    """The distributions whose wheels are in it; None where all are that `make wheels` has fetched."""
    unused: tuple[str, ...]
    """Folders that are left out of Lantern's own wheel."""
    remove: str
    remove_more: str
    left: str
    """What stays in *state* unless somebody says that it may go."""
    description: str

    @property
    def name(self) -> str:
        return self.product.name

    def collect_files(self, source: Path) -> dict[Path, bytes]:
        """Path on the machine -> content, of all but the programs, which postinst makes."""
        files = {
            map_to_package_path(path): content
            for path, content in self.product.collect_files(source).items()
            if not path.is_relative_to(self.product.prefix)
        }
        return files | {path: (source / "systemd" / name).read_bytes() for path, name in self.more_files.items()}


BOX: Final = Contents(
    product=product.BOX,
    purged=product.BOX.settings.parent,
    depends=("udev", *sorted(product.BOX.programs.values())),
    recommends=("systemd-timesyncd", "unattended-upgrades"),
    more_files={
        _UNITS / "nginx.service.d/lantern-box.conf": "debian/nginx.service.conf",
        _UNITS / "apt-daily-upgrade.timer.d/lantern-box.conf": "debian/apt-night.conf",
        _UNITS / "apt-daily-upgrade.service.d/lantern-box.conf": "debian/apt-image.conf",
        _UNITS / "apt-daily.service.d/lantern-box.conf": "debian/apt-image.conf",
        UPGRADES: "debian/upgrades.conf",
    },
    conffiles=(product.AVAHI, UPGRADES),
    libraries=None,
    unused=(),
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
    product=product.HOSPITAL,
    purged=None,
    depends=tuple(product.HOSPITAL.programs.values()),
    recommends=("systemd-timesyncd",),
    more_files={product.HOSPITAL.settings: "hospital/lantern-hospital.default"},
    conffiles=(product.HOSPITAL.settings,),
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
BY_NAME: Final[Mapping[str, Contents]] = {contents.name: contents for contents in (BOX, HOSPITAL)}
