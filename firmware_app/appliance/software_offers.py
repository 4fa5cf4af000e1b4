"""What a software repository offers, and to which boxes: ``index.json``, a signed target as the files in it are.

A version goes out in rings: to boxes that are named, then to a share of all, then to all.  A box computes its place
itself, from the version and its own id, so that it is not always the same clinics that go first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from firmware_app.packs.manifest_types import Sha256

VERSION: Final = r"[0-9][A-Za-z0-9.+~-]{0,63}"
"""Of a Debian package without an epoch (deb-version(7)): an image has the version of the package in it."""
_BOX: Final = r"^([a-z0-9][a-z0-9-]{0,39}|sha256:[0-9a-f]{64})$"


class _IndexModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class Ring(_IndexModel):
    """Which boxes a version is for: those that are named, by id or by :func:`hide_box_id`, and a share of all."""

    boxes: tuple[Annotated[str, StringConstraints(pattern=_BOX)], ...] = ()
    percent: int = Field(0, ge=0, le=100)

    def includes(self, version: str, box: str) -> bool:
        """Whether *version* is for *box* by now."""
        return (
            box in self.boxes
            or hide_box_id(version, box) in self.boxes
            or compute_rollout_place(version, box) < self.percent
        )


def compute_rollout_place(version: str, box: str) -> float:
    """The place of a box among all, for this version: 0 or more, less than 100; below the ring's percent it is in."""
    return int.from_bytes(_digest(version, box)[:6]) * 100 / 2**48


def hide_box_id(version: str, box: str) -> str:
    """A box as an index may name it that does not tell which clinics there are."""
    return f"sha256:{_digest(version, box).hex()}"


def _digest(version: str, box: str) -> bytes:
    return hashlib.sha256(f"{version}\n{box}".encode()).digest()


class SoftwareOffer(_IndexModel):
    """One version for one kind of machine: one file."""

    version: str = Field(pattern=f"^{VERSION}$")
    machine: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    file: str = Field(pattern=r"^[a-z0-9][A-Za-z0-9._+~-]{0,127}$")
    sha256: Sha256
    bytes: int = Field(gt=0)
    ring: Ring = Ring()

    @property
    def target(self) -> str:
        """The target path of its file."""
        return f"{self.machine}/{self.version}/{self.file}"


class SoftwareIndex(_IndexModel):
    """Everything that is offered."""

    schema_id: Literal["lantern.software/1"] = Field("lantern.software/1", alias="schema")
    software: tuple[SoftwareOffer, ...] = ()

    def list_for(self, machine: str) -> Iterable[SoftwareOffer]:
        """What is for this kind of machine."""
        return [software_offer for software_offer in self.software if software_offer.machine == machine]
