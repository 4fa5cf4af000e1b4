"""Errors of a disk."""

from __future__ import annotations

from firmware_app.core.errors.base import Refusal
from firmware_app.core.errors.box import StoreError
from firmware_app.core.language import N_


class DiskTrouble(StoreError):
    """The disk of the state takes nothing new."""


class DiskFull(DiskTrouble):
    code = "disk.full"
    sentence = N_(
        "The disk with {path} is full ({free_mb} MB free), so no new image is taken. Nothing is broken, and what was "
        "taken is safe. Finish cases, so that the box may delete old ones, and delete what is not Lantern's."
    )
    path: str
    free_mb: int


DISK_READ_ONLY = Refusal(
    DiskTrouble,
    "disk.read_only",
    N_(
        "The disk with {path} can only be read, so no new image is taken; what was taken can be seen. Restart the "
        "box. If it stays so, check how the disk is mounted, and look for disk errors with “dmesg”."
    ),
)


DISK_FAILING = Refusal(
    DiskTrouble,
    "disk.failing",
    N_(
        "The disk with {path} reports errors ({detail}), so no new image is taken. Copy what is on it to another disk "
        "now, then replace it."
    ),
)
