"""The power fails while a modality sends, the reader reads and the uplink reports: at random points, all the time."""

from __future__ import annotations

import time

from tests.faults.crash_images import CrashImage, CrashImageDisk, DiskCopier, darkroom
from tests.faults.ledger import Digests, audit
from tests.faults.scene import AttackRun, Outcome, Scene, run_attack, run_workers

CUTS = "power cuts"
IMAGES = "crash images"
_STARTING = 0.25  # the share of cuts that fall into the start
_EARLY_S, _LATE_S = 1.5, 2.0


def cut_power(scene: Scene, cuts: int) -> Outcome:
    """*cuts* power cuts at random points; after each one everything acknowledged is there, at the end all is read."""
    room = scene.room("cuts")
    with darkroom(room) as dark, run_attack(scene, "cuts", dark.disk.mount / "state", line=True, room=room) as play:
        for number in range(cuts):
            scene.say(f"{CUTS}: {number + 1} of {cuts}, {len(play.ledger.acknowledged)} images acknowledged")
            _one_cut(play, dark)
        play.outcome.longest_outage_s = play.ledger.longest_outage_s = 0.0  # the machine was off
        play.wait_settled()
        play.conclude()
        play.outcome.strikes = f"{cuts} power cuts ({play.withdrawn} answers after the cut withdrawn)"
        play.outcome.attack = CUTS
    return play.outcome


def _one_cut(play: AttackRun, dark: CrashImageDisk) -> None:
    play.clinic.start()
    with run_workers(play.modality()):
        if play.chance.random() < _STARTING:
            time.sleep(play.chance.uniform(0.0, _EARLY_S))  # the instant is what is random here; nothing is awaited
        else:
            play.clinic.ready("gateway")
            time.sleep(play.chance.uniform(0.0, _LATE_S))
        cut = dark.disk.cut_power()
        play.clinic.kill()
    dark.disk.restore_power()
    promised = play.ledger.list_acknowledged_before(cut)
    play.compare(play.clinic.state.root, promised)
    late = set(audit(play.clinic.state.root).lost(play.ledger.snapshot())) - set(promised)
    play.ledger.withdraw(late)
    play.withdrawn += len(late)


def photograph(scene: Scene, seconds: float) -> Outcome:
    """A crash image every 50 ms for *seconds* under load; each is opened and held against what was acknowledged."""
    room = scene.room("images")
    with darkroom(room) as dark, run_attack(scene, "images", dark.disk.mount / "state", line=True, room=room) as play:
        play.clinic.start()
        photographer: DiskCopier[Digests] = DiskCopier(dark, play.ledger.snapshot)
        with run_workers(play.modality(), photographer):  # while the box starts, too
            play.clinic.ready("gateway")
            time.sleep(seconds)
        play.wait_settled()
        play.conclude()
        for number, image in enumerate(photographer.images):
            if number % 20 == 0:
                scene.say(f"{IMAGES}: {number} of {len(photographer.images)} opened")
            _open(play, dark, image)
        play.outcome.strikes = f"{len(photographer.images)} crash images opened and checked"
        play.outcome.attack = IMAGES
    return play.outcome


def _open(play: AttackRun, dark: CrashImageDisk, image: CrashImage[Digests]) -> None:
    with dark.mount_copy(image.image) as look:
        if (look / "state").exists() or image.known:
            play.compare(look / "state", image.known)
