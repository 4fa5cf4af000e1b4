"""Why an examination cannot be read while it runs."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class WatchError(LanternError):
    """A source of live frames cannot be read, or its frames are not read."""


class SourceUnknown(WatchError):
    code = "watch.source"
    sentence = N_(
        "“{source}” is no source. Give a file with a clip, a device such as /dev/video0, an address such as "
        "rtsp://192.168.1.20/stream, or “dicom” for the images that come to this box."
    )
    source: str


class SourceUnreachable(WatchError):
    code = "watch.unreachable"
    sentence = N_(
        "The source cannot be opened: {detail}. Check that the machine is on, the cable is in and the address is right."
    )
    detail: str


class SourceLost(WatchError):
    code = "watch.lost"
    sentence = N_("The source is lost: {detail}. It is opened again as soon as it answers.")
    detail: str


class SourceStalled(WatchError):
    code = "watch.stalled"
    sentence = N_("No new frame has come for {seconds} s.")
    seconds: int


class SourceEnded(WatchError):
    code = "watch.ended"
    sentence = N_("The clip has ended; nothing more comes.")


class WatchedAlready(WatchError):
    code = "watch.already"
    sentence = N_("Another “lantern watch” shows its frames on this box's page. Stop it first.")


class PackUnclear(WatchError):
    code = "watch.pack"
    sentence = N_("A live picture does not say what it shows. Name the model that is to read it with --pack: {packs}.")
    packs: str


class PackOfVolumes(WatchError):
    code = "watch.volumes"
    sentence = N_("The model “{pack}” reads whole volumes, not single frames. Name another one with --pack.")
    pack: str


class FrameGone(WatchError):
    code = "watch.frame_gone"
    sentence = N_("This frame is no longer held, so it was not kept. Press “Keep this frame” sooner.")


class NothingKept(WatchError):
    code = "watch.not_kept"
    sentence = N_("The frame was not kept: {detail}.")
    detail: str
