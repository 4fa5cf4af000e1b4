"""Find the fastest correct way to run each pack, while no image waits.

A separate child tries one variant at a time and is killed as soon as an image arrives. A variant with wrong results is
excluded and logged. When all variants are known, a second inference child loads the best ones and replaces the first.
The results and the variant in use are stored (`packs.execution_variants`).

A variant stays in use until it fails, or until another is clearly faster in alternating measurements, so that a
temporary slowdown affects both. Each turn runs in a process of its own, so that the two never share threads or caches.
"""

from __future__ import annotations

import logging
import statistics
import time
from dataclasses import dataclass, field, replace
from typing import Final

from firmware_app.core.child_process import ChildJobs, ChildLost
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.packs import execution_variants
from firmware_app.packs.execution_variants import ExecutionVariant, TrialResult, TrialResults
from firmware_app.reading import variant_trial
from firmware_app.reading.faults import FaultLog
from firmware_app.reading.inference import Inference
from firmware_app.reading.variant_trial import VariantTrial

TURNS: Final = 5
"""Of each; the median of them counts."""


@dataclass(slots=True)
class VariantComparison:
    """Between the way *in_use* and a *contender*."""

    pack: str
    in_use: ExecutionVariant
    contender: ExecutionVariant
    _taken: list[TrialResult] = field(default_factory=list)

    def next_variant(self) -> ExecutionVariant:
        """Whose turn it is."""
        return self.contender if len(self._taken) % 2 else self.in_use

    def add(self, result: TrialResult) -> None:
        """What the turn of `next_variant` has shown; a turn that was cut off is taken again."""
        self._taken.append(result)

    @property
    def is_over(self) -> bool:
        return len(self._taken) == 2 * TURNS

    @property
    def results(self) -> tuple[TrialResult, TrialResult]:
        """One for each, with the median of its turns."""
        return self._summarise(self.in_use), self._summarise(self.contender)

    def _summarise(self, way: ExecutionVariant) -> TrialResult:
        own = [
            trial_result
            for trial_result in self._taken
            if ExecutionVariant(trial_result.runtime, trial_result.precision) == way
        ]
        return replace(
            own[-1], milliseconds=statistics.median(trial_result.milliseconds or 0.0 for trial_result in own)
        )


log = logging.getLogger("lantern.reader")

IDLE_SECONDS: Final = 5.0
"""Of quiet after the start and after each image before anything is tried."""
_SWAP_SECONDS: Final = 60.0
_LOOK_AGAIN_SECONDS: Final = 10.0
"""How often the remembered results are looked at when all is done: `lantern pack measure` may have changed them."""


class VariantBenchmark:
    """What the reader does while it is idle.  `advance` is called now and then, and never waits."""

    def __init__(self, inference: Inference, config: Config, state: StateDir, faults: FaultLog) -> None:
        self._inference, self._settings, self._faults = inference, config.reader, faults
        self._runtimes = config.runtime_settings
        self.results = TrialResults(state.trials)
        self._known: dict[str, dict[ExecutionVariant, TrialResult]] = {}
        self._absent: set[str] = set()
        self._mark = -1
        self._due = time.monotonic() + IDLE_SECONDS
        self._trial: VariantTrial | None = None
        self._comparison: VariantComparison | None = None
        self._compared: set[tuple[str, ExecutionVariant, ExecutionVariant]] = set()
        self._successor: tuple[ChildJobs, dict[str, list[ExecutionVariant]]] | None = None
        self._may_swap = True
        self.reload_results()

    def reload_results(self) -> None:
        """Pass over what is remembered not to be right; needed again when packs have come."""
        self._mark, self._may_swap, self._comparison = self.results.read_mtime_ns(), True, None
        self._compared.clear()
        for name, pack in self._inference.packs.items():
            known = self.results.read_results(pack, self._inference.list_variants(name), self._runtimes)
            self._known[name] = {way: one for way, one in known.items() if variant_trial.is_final(one)}
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

    def advance(self) -> bool:
        """Go on as far as is possible without waiting; True when a pack is now run in another way."""
        for name, way, reason in self._inference.take_failures():
            result = TrialResult(
                runtime=way.runtime, precision=way.precision, version=None, milliseconds=None, cases=0, reason=reason
            )
            self.results.keep(self._inference.packs[name], result, self._runtimes)
            self._faults.report(f"{reason.code}: {reason.text('en')}")
        if self._trial is not None:
            self._collect_result(self._trial)
        elif self._successor is not None:
            return self._swap(*self._successor)
        elif time.monotonic() >= self._due:
            self._begin()
        return False

    def _begin(self) -> None:
        """Start the next trial, or the swap that the results call for."""
        if self.results.read_mtime_ns() != self._mark:
            self.reload_results()
        for name, pack in self._inference.packs.items():
            known = self._known.setdefault(name, {})
            for way in self._inference.list_variants(name):
                if way.runtime in self._absent:
                    self._inference.drop_variant(name, way, "it cannot be used here")
                elif way not in known:
                    before = self.results.read_results(pack, [way], self._runtimes).get(way)
                    tries = 1 if before is None else before.tries + 1
                    self._trial = VariantTrial(pack, way, self._runtimes, tries=tries)
                    return
        if self._comparison is None:
            self._comparison = self._next_comparison()
        if self._comparison is not None:
            self._trial = VariantTrial(
                self._inference.packs[self._comparison.pack], self._comparison.next_variant(), self._runtimes
            )
            return
        orders = {name: self._rank_variants(name) for name in self._inference.packs}
        if self._may_swap and any(
            order[:1] != self._inference.list_variants(name)[:1] for name, order in orders.items()
        ):
            self._successor = self._inference.start_successor(orders, _SWAP_SECONDS), orders
        else:
            self._save_variants_in_use()
            self._due = time.monotonic() + _LOOK_AGAIN_SECONDS

    def _collect_result(self, running: VariantTrial) -> None:
        result = running.poll()
        if result is None:
            return
        self._trial = None
        name, way = running.pack.name, running.way
        if self._comparison is not None and result.is_right:
            self._comparison.add(result)
            if self._comparison.is_over:
                self._conclude_comparison(self._comparison)
            return
        self._comparison = None
        if not variant_trial.is_kept(result):
            self._absent.add(way.runtime)
        else:
            self.results.keep(running.pack, result, self._runtimes)
            self._mark = self.results.read_mtime_ns()
        self._known[name][way] = result
        self._judge(name, way, result)

    def _judge(self, name: str, way: ExecutionVariant, result: TrialResult) -> None:
        if result.reason is not None and way in self._inference.list_variants(name):
            sentence = f"{result.reason.code}: {result.reason.text('en')}"
            if variant_trial.is_kept(result) or self._settings.runtimes:
                self._faults.report(sentence)
            else:  # a library that nobody asked for and that nobody installed
                log.info("%s", sentence)
            self._inference.drop_variant(name, way, result.reason.code)

    def _next_comparison(self) -> VariantComparison | None:
        """The next pair that is to be measured in turns, because one is clearly faster by what is remembered."""
        for name in self._inference.packs:
            order = self._rank_variants(name)
            contender = execution_variants.find_contender(order, self._known[name], self._settings)
            if contender is not None and (name, order[0], contender) not in self._compared:
                return VariantComparison(name, order[0], contender)
        return None

    def _conclude_comparison(self, comparison: VariantComparison) -> None:
        """What was measured in turns is better known now; the contender takes over only where that says so too."""
        self._comparison = None
        self._compared.add((comparison.pack, comparison.in_use, comparison.contender))
        pack = self._inference.packs[comparison.pack]
        for result in comparison.results:
            self.results.keep(pack, result, self._runtimes)
            self._known[comparison.pack][ExecutionVariant(result.runtime, result.precision)] = result
        first, second = comparison.in_use, comparison.contender
        if execution_variants.find_contender([first, second], self._known[comparison.pack], self._settings) == second:
            log.info("%s is clearly faster on %s than on %s", comparison.pack, comparison.contender, comparison.in_use)
            self.results.save_choice(pack, comparison.contender, self._runtimes)
        self._mark = self.results.read_mtime_ns()

    def _save_variants_in_use(self) -> None:
        """Save the way in which each pack is run, so that the next start and the next measurement keep to it."""
        if not execution_variants.is_choice_free(self._settings):
            return
        for name, pack in self._inference.packs.items():
            now = self._inference.list_variants(name)[:1]
            if (
                now
                and now == self._rank_variants(name)[:1]
                and now[0] in self._known[name]
                and now[0] != self._find_variant_in_use(name)
            ):
                self.results.save_choice(pack, now[0], self._runtimes)
                self._mark = self.results.read_mtime_ns()

    def _find_variant_in_use(self, name: str) -> ExecutionVariant | None:
        return self.results.read_choice(self._inference.packs[name], self._runtimes)

    def _rank_variants(self, name: str) -> list[ExecutionVariant]:
        known, kept_to = self._known.get(name, {}), self._find_variant_in_use(name)
        return execution_variants.rank_variants(self._inference.list_variants(name), known, self._settings, kept_to)

    def _swap(self, jobs: ChildJobs, orders: dict[str, list[ExecutionVariant]]) -> bool:
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
            self._faults.report(f"the faster models could not be loaded together ({trouble or 'one was refused'})")
            return False
        self._inference.swap_child(jobs.child, orders)
        chosen = ", ".join(f"{name} on {order[0]}" for name, order in orders.items() if order)
        log.info("measured on this box: %s", chosen)
        return True
