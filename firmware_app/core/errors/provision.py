"""Errors of provisioning that several flats know."""

from __future__ import annotations

from firmware_app.core.errors.box import ProvisionError
from firmware_app.core.language import N_


class SealingFailed(ProvisionError):
    code = "provision.seal"
    sentence = N_(
        "The security chip (TPM) of this machine did not seal the box's keys: {detail}. They are not on the disk yet; "
        "try again, or give --no-tpm to keep them in files that only root reads."
    )
    detail: str
