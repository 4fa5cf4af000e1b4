"""Finds the fastest correct way to run each pack, while no image waits.

One way at a time is tried in a separate child, which is killed as soon as an image arrives.  A way with wrong results
is excluded and logged.  When all ways are known, a second inference child is loaded with the best ways and replaces the
first.  The results and the way in use are stored (`packs.results`).  A way stays in use until it fails, or until
another is clearly faster in alternating measurements (`reading.comparison`).
"""

from __future__ import annotations

import logging
import time
from typing import Final

from firmware_app.core.children.child import ChildLost
from firmware_app.core.children.child_jobs import ChildJobs
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.packs import ways
from firmware_app.packs.results import Results, TrialResult
from firmware_app.packs.ways import Way
from firmware_app.reading.children import trial
from firmware_app.reading.children.inference import Inference
from firmware_app.reading.children.trial import Trial
from firmware_app.reading.comparison import Comparison
from firmware_app.reading.faults import Faults

log = logging.getLogger("lantern.reader")

IDLE_SECONDS: Final = 5.0
"""Of quiet after the start and after each image before anything is tried."""
_SWAP_SECONDS: Final = 60.0
_LOOK_AGAIN_SECONDS: Final = 10.0
"""How often the remembered results are looked at when all is done: `lantern pack measure` may have changed them."""


class Measuring:
    """What the reader does while it is idle.  `tend` is called now and then, and never waits."""

    def __init__(self, inference: Inference, config: Config, state: StateDir, faults: Faults) -> None:
        self._inference, self._settings, self._faults = inference, config.reader, faults
        self._runtimes = config.runtime_settings
        self.results = Results(state.trials)
        self._known: dict[str, dict[Way, TrialResult]] = {}
        self._absent: set[str] = set()
        self._mark = -1
        self._due = time.monotonic() + IDLE_SECONDS
        self._trial: Trial | None = None
        self._comparison: Comparison | None = None
        self._compared: set[tuple[str, Way, Way]] = set()
        self._successor: tuple[ChildJobs, dict[str, list[Way]]] | None = None
        self._may_swap = True
        self.recall()

    def recall(self) -> None:
        """Pass over what is remembered not to be right; needed again when packs have come."""
        self._mark, self._may_swap, self._comparison = self.results.mark(), True, None
        self._compared.clear()
        for name, pack in self._inference.packs.items():
            known = self.results.known(pack, self._inference.ways(name), self._runtimes)
            self._known[name] = {way: one for way, one in known.items() if trial.is_final(one)}
            for way, result in self._known[name].items():
                self._judge(name, way, result)

    def interrupt(self) -> None:
        """An image has come: give it the whole box."""
        self._due = time.monotonic() + IDLE_SECONDS
        self.close()

    def close(self) -> None:
        """Abandon what is under way."""
        if self._trial is not None:
            self._trial.stop()
        if self._successor is not None:
            self._successor[0].stop()
        self._trial = self._successor = None

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being tried, and nothing is about to be."""
        return self._trial is None and self._successor is None and self._due > time.monotonic()

    def tend(self) -> bool:
        """Go on as far as is possible without waiting; True when a pack is now run in another way."""
        for name, way, reason in self._inference.take_wrong():
            result = TrialResult(way.runtime, way.precision, None, None, 0, reason)
            self.results.keep(self._inference.packs[name], result, self._runtimes)
            self._faults.say(f"{reason.code}: {reason.text('en')}")
        if self._trial is not None:
            self._follow(self._trial)
        elif self._successor is not None:
            return self._swap(*self._successor)
        elif time.monotonic() >= self._due:
            self._begin()
        return False

    def _begin(self) -> None:
        """Start the next trial, or the swap that the results call for."""
        if self.results.mark() != self._mark:
            self.recall()
        for name, pack in self._inference.packs.items():
            known = self._known.setdefault(name, {})
            for way in self._inference.ways(name):
                if way.runtime in self._absent:
                    self._inference.pass_over(name, way, "it cannot be used here")
                elif way not in known:
                    before = self.results.known(pack, [way], self._runtimes).get(way)
                    tries = 1 if before is None else before.tries + 1
                    self._trial = Trial(pack, way, self._runtimes, tries=tries)
                    return
        if self._comparison is None:
            self._comparison = self._next_comparison()
        if self._comparison is not None:
            self._trial = Trial(self._inference.packs[self._comparison.pack], self._comparison.next(), self._runtimes)
            return
        orders = {name: self._order(name) for name in self._inference.packs}
        if self._may_swap and any(order[:1] != self._inference.ways(name)[:1] for name, order in orders.items()):
            self._successor = self._inference.succession(orders, _SWAP_SECONDS), orders
        else:
            self._keep_to_what_is_used()
            self._due = time.monotonic() + _LOOK_AGAIN_SECONDS

    def _follow(self, running: Trial) -> None:
        result = running.outcome()
        if result is None:
            return
        self._trial = None
        name, way = running.pack.name, running.way
        if self._comparison is not None and result.right:
            self._comparison.add(result)
            if self._comparison.is_over:
                self._settle(self._comparison)
            return
        self._comparison = None
        if not trial.is_kept(result):
            self._absent.add(way.runtime)
        else:
            self.results.keep(running.pack, result, self._runtimes)
            self._mark = self.results.mark()
        self._known[name][way] = result
        self._judge(name, way, result)

    def _judge(self, name: str, way: Way, result: TrialResult) -> None:
        if result.reason is not None and way in self._inference.ways(name):
            sentence = f"{result.reason.code}: {result.reason.text('en')}"
            if trial.is_kept(result) or self._settings.runtimes:
                self._faults.say(sentence)
            else:  # a library that nobody asked for and that nobody installed
                log.info("%s", sentence)
            self._inference.pass_over(name, way, result.reason.code)

    def _next_comparison(self) -> Comparison | None:
        """The next pair that is to be measured in turns, because one is clearly faster by what is remembered."""
        for name in self._inference.packs:
            order = self._order(name)
            contender = ways.contender(order, self._known[name], self._settings)
            if contender is not None and (name, order[0], contender) not in self._compared:
                return Comparison(name, order[0], contender)
        return None

    def _settle(self, comparison: Comparison) -> None:
        """What was measured in turns is better known now; the contender takes over only where that says so too."""
        self._comparison = None
        self._compared.add((comparison.pack, comparison.in_use, comparison.contender))
        pack = self._inference.packs[comparison.pack]
        for result in comparison.results:
            self.results.keep(pack, result, self._runtimes)
            self._known[comparison.pack][Way(result.runtime, result.precision)] = result
        first, second = comparison.in_use, comparison.contender
        if ways.contender([first, second], self._known[comparison.pack], self._settings) == second:
            log.info("%s is clearly faster on %s than on %s", comparison.pack, comparison.contender, comparison.in_use)
            self.results.use(pack, comparison.contender, self._runtimes)
        self._mark = self.results.mark()

    def _keep_to_what_is_used(self) -> None:
        """Save the way in which each pack is run, so that the next start and the next measurement keep to it."""
        if not ways.is_free(self._settings):
            return
        for name, pack in self._inference.packs.items():
            now = self._inference.ways(name)[:1]
            if now and now == self._order(name)[:1] and now[0] in self._known[name] and now[0] != self._in_use(name):
                self.results.use(pack, now[0], self._runtimes)
                self._mark = self.results.mark()

    def _in_use(self, name: str) -> Way | None:
        return self.results.in_use(self._inference.packs[name], self._runtimes)

    def _order(self, name: str) -> list[Way]:
        known, kept_to = self._known.get(name, {}), self._in_use(name)
        return ways.ranked(self._inference.ways(name), known, self._settings, kept_to)

    def _swap(self, jobs: ChildJobs, orders: dict[str, list[Way]]) -> bool:
        trouble = ""
        try:
            if not jobs.is_done():
                return False
        except ChildLost as lost:
            trouble = lost.detail
        except TimeoutError:
            trouble = "out of time"
        self._successor = None
        if trouble or any("loaded" not in answer.header for answer in jobs.answers):
            jobs.stop()
            self._may_swap = False  # each passed its own trial, so it is not known which one to blame
            self._faults.say(f"the faster models could not be loaded together ({trouble or 'one was refused'})")
            return False
        self._inference.succeed(jobs.child, orders)
        chosen = ", ".join(f"{name} on {order[0]}" for name, order in orders.items() if order)
        log.info("measured on this box: %s", chosen)
        return True
