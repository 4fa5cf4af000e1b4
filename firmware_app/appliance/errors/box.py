"""Refusals of the box as a machine: its identity."""

from __future__ import annotations

from firmware_app.core.errors.base import Refusal
from firmware_app.core.errors.box import ProvisionError, StoreError
from firmware_app.core.language import N_

RESCUE_NEEDS_ROOM = Refusal(
    StoreError,
    "store.rescue_room",
    N_(
        "The damaged database {database} cannot be rebuilt: {missing_mb} MB of disk are missing for it. Nothing was "
        "removed. Free that much space; a running box tries again by itself."
    ),
)


RESCUE_IMPOSSIBLE = Refusal(
    StoreError,
    "store.rescue",
    N_(
        "The damaged database {database} cannot be rebuilt: {detail}. Nothing was removed. Free some space, check that "
        "the disk may be written, and start the box again."
    ),
)


BOX_ID_INVALID = Refusal(
    ProvisionError,
    "provision.box_id",
    N_("“{box}” cannot be a box's id. Use small letters, digits and hyphens, at most 40, as in clinic-7."),
)


PROVISIONED_ALREADY = Refusal(
    ProvisionError,
    "provision.already",
    N_(
        "This box is {box} already and keeps its id and its hospital; nothing was changed. To change the hospital, run "
        "“lantern provision” without options at the box's own console; to change the id, move {folder} away first."
    ),
)


NOT_PROVISIONED = Refusal(
    ProvisionError,
    "provision.not_yet",
    N_("There are no box keys in {folder} yet. Run “lantern provision --id NAME --hospital FILE” first."),
)
