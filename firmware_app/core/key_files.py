"""Where the files of a box's identity lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firmware_app.core import tpm


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The files of a box's identity, below one folder; the private ones only the uplink's user may read."""

    folder: Path

    @property
    def identity(self) -> Path:
        return self.folder / "identity.pem"

    @property
    def tls_key(self) -> Path:
        return self.folder / "tls.key"

    @property
    def sealed(self) -> tuple[Path, Path]:
        """Where the two private keys lie when a security chip guards them (`sealing`)."""
        return (self._sealed(self.identity), self._sealed(self.tls_key))

    def _sealed(self, key: Path) -> Path:
        return key.with_name(key.name + tpm.SUFFIX)

    @property
    def tls_cert(self) -> Path:
        return self.folder / "tls.crt"

    @property
    def tls_ca(self) -> Path:
        return self.folder / "authority.crt"

    @property
    def hospital(self) -> Path:
        return self.folder / "hospital.json"

    @property
    def box(self) -> Path:
        return self.folder / "box.json"
