"""The files of the box's identity, and its private keys under the machine's security chip (TPM 2.0), where it has one.

`systemd-creds` (systemd 250 or later) seals the keys: a sealed key is opened again only by systemd on this machine,
when it starts the unit that is allowed to have it (``LoadCredentialEncrypted=``).  So a copied or stolen disk gives
nobody the identity of this box.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core import programs
from firmware_app.core.errors import SealingFailed
from firmware_app.core.programs import ProgramFailed, ProgramMissing, ProgramRefused


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
        return (self._sealed_path(self.identity), self._sealed_path(self.tls_key))

    def _sealed_path(self, key: Path) -> Path:
        return key.with_name(key.name + SEALED_SUFFIX)

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


_PROGRAM: Final = "systemd-creds"
_SECONDS: Final = 60
_ASK_S: Final = 10  # it looks at firmware, kernel and libraries only
SEALED_SUFFIX: Final = ".sealed"
# The chip and a secret on the disk, and no measurement of the boot: a box that is left alone for years must survive an
# update of its firmware.  systemd 252 seals to no register at all but does not open that again ("PCR bank invalid"), so
# it is bound to 23, "application support", which nothing here extends (TCG PC Client Platform Firmware Profile 3.3.4).
_BOUND_TO: Final = ("--with-key=host+tpm2", "--tpm2-pcrs=23")


@dataclass(frozen=True, slots=True)
class Tpm:
    """A TPM as systemd names it: ``auto``, a device, or ``swtpm:…`` of a test."""

    device: str = "auto"

    def seal(self, name: str, secret: bytes) -> bytes:
        """*secret* for the credential *name*; raises `SealingFailed`."""
        return self._run("encrypt", name, secret, *_BOUND_TO)

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """What was sealed; raises `SealingFailed`.  Only systemd does so on a box; this is for its doctor."""
        return self._run("decrypt", name, sealed)

    def _run(self, verb: str, name: str, data: bytes, *options: str) -> bytes:
        command = [_PROGRAM, verb, f"--name={name}", f"--tpm2-device={self.device}", *options, "-", "-"]
        try:
            return programs.run_program(*command, seconds=_SECONDS, data=data)
        except ProgramFailed as error:
            raise SealingFailed(detail=str(error)) from None


def find_tpm() -> Tpm | None:
    """The machine's TPM when firmware, kernel and systemd can all use it; None otherwise.

    Raises `SealingFailed` where systemd does not say: keys that were once written openly are never sealed again.
    """
    try:
        programs.run_program(_PROGRAM, "has-tpm2", "--quiet", seconds=_ASK_S)
    except (ProgramMissing, ProgramRefused):
        return None
    except ProgramFailed as error:
        raise SealingFailed(detail=str(error)) from None
    return Tpm()
