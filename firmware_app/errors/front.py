"""The TLS front before the viewer: its certificate and its configuration."""

from __future__ import annotations

from firmware_app.errors.base import LanternError
from firmware_app.language import N_


class FrontError(LanternError):
    """The front cannot be given what it needs to speak TLS."""


class AuthorityUnusable(FrontError):
    code = "front.authority"
    sentence = N_(
        "The box's own certificate authority cannot be used: {detail}. Put the folders authority and front in {path} "
        "back from a backup. Without one, remove both and restart the box: it makes a new authority, which every phone "
        "and PC must be told to trust again."
    )
    path: str
    detail: str


class FrontNotWritable(FrontError):
    code = "front.write"
    sentence = N_("The certificate of the page cannot be written to {path}: {detail}. Run this as root.")
    path: str
    detail: str


class FrontNeedsPort(FrontError):
    code = "front.port"
    sentence = N_(
        "The front cannot find the viewer: [viewer] port is 0, which means any free port. Set a number, as in 8080."
    )
