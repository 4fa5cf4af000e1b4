"""The three ways in which the disk fails the box, which ask for three different things."""

from __future__ import annotations

from firmware_app.core.errors.box import StoreError
from firmware_app.core.errors.intake import NotKept
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


class DiskReadOnly(DiskTrouble):
    code = "disk.read_only"
    sentence = N_(
        "The disk with {path} can only be read, so no new image is taken; what was taken can be seen. Restart the "
        "box. If it stays so, check how the disk is mounted, and look for disk errors with “dmesg”."
    )
    path: str


class DiskFailing(DiskTrouble):
    code = "disk.failing"
    sentence = N_(
        "The disk with {path} reports errors ({detail}), so no new image is taken. Copy what is on it to another disk "
        "now, then replace it."
    )
    path: str
    detail: str


class NotKeptReadOnly(NotKept):
    code = "intake.read_only"
    sentence = N_(
        "The box's disk can only be read ({detail}), so the object was not accepted. Call the technician, and send it "
        "again when the disk can be written."
    )


class NotKeptFailing(NotKept):
    code = "intake.disk_failing"
    sentence = N_(
        "The box's disk reports errors ({detail}), so the object was not accepted. Call the technician today, and "
        "send it again when the disk is replaced."
    )
