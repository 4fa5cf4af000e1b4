"""kill -9 of every process of the box while it works, and lines that fail in every way a line can."""

from __future__ import annotations

import threading
from collections import Counter

from tests.faults.clinic import Keeper
from tests.faults.killer import Killer
from tests.faults.proxy import Fault, FaultProxy
from tests.faults.scene import Outcome, Scene, run_attack, run_workers

KILLS = "kill -9"
LINES = "failing lines"
_BROKER_FAULTS = tuple(Fault)
_DICOM_FAULTS = tuple(Fault)


class Weather(threading.Thread):
    """Changes what a proxy does, every so often; fair when it stops."""

    def __init__(self, proxy: FaultProxy, draw: list[tuple[float, Fault]]) -> None:
        super().__init__(name="weather")
        self._proxy, self._draw = proxy, draw
        self._enough = threading.Event()
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        for seconds, fault in self._draw:
            self._proxy.suffer(fault)
            self.seen[fault.name.lower()] += 1
            if self._enough.wait(seconds):
                break
        self._proxy.suffer(Fault.NONE)

    def stop(self) -> None:
        self._enough.set()
        self.join()


def kill_all(scene: Scene, studies: int) -> Outcome:
    """kill -9 of one process after the other until *studies* are acknowledged, the broker behind a failing line."""
    chance = scene.chance("kills")
    room = scene.room("kills")
    with (
        FaultProxy(scene.site.port, chance) as proxy,
        run_attack(scene, "kills", room / "state", line=True, broker=proxy.port, room=room) as play,
    ):
        play.clinic.start()
        killer = Killer(play.clinic.list_processes_by_role, chance)
        draw = [(chance.uniform(1.0, 5.0), chance.choice(_BROKER_FAULTS)) for _ in range(10_000)]
        weather = Weather(proxy, draw)
        sender = play.modality(studies)
        play.clinic.ready("gateway")
        with run_workers(sender, killer, weather, Keeper(play.clinic)):
            while sender.is_alive():
                sender.join(2.0)
                scene.say(
                    f"{KILLS}: {len(play.ledger.acknowledged)} of {studies} studies, {killer.struck.total()} kills"
                )
        play.clinic.stop()
        # An image is given up only when two children have died over it; no other death counts.
        play.may_give_up = (killer.struck["decode_child"] + killer.struck["inference_child"]) // 2
        play.outcome.restarts = killer.struck.total()
        play.wait_settled()
        play.conclude()
        play.tracebacks()
        struck = ", ".join(f"{role} {times}" for role, times in sorted(killer.struck.items()))
        play.outcome.strikes = (
            f"{killer.struck.total()} kills ({struck}); {weather.seen.total()} states of the broker's line"
        )
        play.outcome.attack = KILLS
    return play.outcome


def fail_lines(scene: Scene, seconds: float) -> Outcome:
    """A modality behind a network that delays, cuts, resets, swallows and babbles; the box itself is not touched."""
    chance = scene.chance("lines")
    room = scene.room("lines")
    with run_attack(scene, "lines", room / "state", line=True, room=room, LANTERN_DICOM__IDLE_SECONDS="5") as play:
        play.clinic.start()
        play.clinic.ready("gateway")
        with FaultProxy(play.clinic.port, chance) as proxy:
            order = [fault for fault in _DICOM_FAULTS for _ in range(2)]
            chance.shuffle(order)
            weather = Weather(proxy, [(seconds / len(order), fault) for fault in order])
            with run_workers(play.modality(port=proxy.port), weather):
                weather.join()
        play.outcome.strikes = ", ".join(f"{fault} {times}×" for fault, times in sorted(weather.seen.items()))
        play.send(4)  # straight, and at once
        play.wait_settled()
        play.conclude()
        play.tracebacks()
        play.outcome.attack = LINES
    return play.outcome
