"""`lantern watch`: reads an examination while it runs, the newest frame first (docs/decisions/bedside.md)."""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from firmware_app.cli.terminal import DONE, INTERRUPTED, Commands, add_command, read_config
from firmware_app.core.language import N_, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.cli.live_examination import LivePage
    from firmware_app.core.live_frame import LiveFolder
    from firmware_app.core.records import Finding
    from firmware_app.core.settings import Config
    from firmware_app.core.state_dir import StateDir
    from firmware_app.packs.pack_folder import Pack
    from firmware_app.reading.frame_grabber import FrameSource
    from firmware_app.reading.live_session import LiveReading, LiveSession, SessionEvent

_SAY_S: Final = 1.0
_MOST_DELAYS: Final = 100_000
_MORE: Final = """
SOURCE is a file with a clip (DICOM, MP4, AVI, MPEG), which plays at its own
rate; a frame grabber such as /dev/video0; an address such as
rtsp://192.168.1.20/stream; “dicom” for the images that come to this box; or
@FILE, a file whose first line is the address, where that holds a password.

Videos, frame grabbers and addresses need the extra “video” (pip install av).

The viewer of the same state shows it live on the page “Live”, where a doctor
may keep a frame; nothing else is written. Ctrl-C ends it.

Exit status: 0 the clip has ended, or --seconds have passed; 1 failed with a
sentence; 130 stopped by Ctrl-C."""


def add_to(commands: Commands) -> None:
    """Add `watch` to the parser."""
    watch = add_command(
        commands,
        "watch",
        _watch,
        "read an examination while it runs",
        "lantern watch /dev/video0 --pack breast-ultrasound",
    )
    watch.epilog = f"{watch.epilog}\n{_MORE}"
    watch.formatter_class = argparse.RawDescriptionHelpFormatter
    watch.add_argument("source", metavar="SOURCE", help="a file, a device, an address, or dicom")
    watch.add_argument("--pack", metavar="NAME", help="the model that reads it (see: lantern pack list)")
    watch.add_argument("--loop", action="store_true", help="play a clip again and again")
    watch.add_argument("--seconds", type=float, metavar="N", help="stop after so many seconds")


def _watch(options: argparse.Namespace) -> int:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.cli import live_examination
    from firmware_app.cli.errors import WATCHED_ALREADY
    from firmware_app.core import live_frame as live
    from firmware_app.core import run_status
    from firmware_app.core.errors import AlreadyRunning
    from firmware_app.core.state_dir import StateDir
    from firmware_app.reading.frame_grabber import FrameRefused
    from firmware_app.reading.live_session import LiveSession

    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # so that all is tidied
    config = read_config(options)
    source = live_examination.parse_source(options.source, loop=options.loop)
    pack = _find_pack(options.pack, config)
    state = StateDir(config.state.dir)
    has_box = state.clinical_db.is_file()
    report = _Report(config, as_json=options.json)
    with ExitStack() as tidying:
        clinical = adopted = page = None
        if has_box:
            clinical = ClinicalDatabase(state.clinical_db)
            clinical.require()
            tidying.callback(clinical.database.close)
            adopted = _make_local_thresholds(clinical, config, pack)
            try:
                tidying.enter_context(run_status.hold_process_lock(state, live.WATCH_PROCESS))
            except AlreadyRunning:
                raise WATCHED_ALREADY() from None
            live.remove_stale_folder(_find_stale_folder(state))
        folder = live.LiveFolder(state.run if has_box else None)
        tidying.callback(folder.remove)
        if clinical is not None:
            page = _open_page(folder, state, clinical, config, pack)
            run_status.announce_process(state, live.WATCH_PROCESS, {"folder": str(folder.path), "source": source.kind})
            tidying.callback(run_status.withdraw_announcement, state, live.WATCH_PROCESS)
        watching = LiveSession(source, pack, config, folder.path, adopted or (lambda findings: findings))
        tidying.callback(watching.close)
        ends = time.monotonic() + options.seconds if options.seconds else None
        try:
            for reading in _stream_readings(watching, source, clinical, state, pack):
                report.show(reading, page)
                if page is not None:
                    page.keep_requested_frames(watching)
                if ends is not None and time.monotonic() > ends:
                    break
        except FrameRefused as refused:
            raise refused.to_error() from None
        except KeyboardInterrupt:
            report.finish()
            return INTERRUPTED
    report.finish()
    return DONE


def _stream_readings(
    watching: LiveSession, source: FrameSource, clinical: ClinicalDatabase | None, state: StateDir, pack: Pack
) -> Iterator[LiveReading | SessionEvent | None]:
    from firmware_app.cli.live_examination import ArrivingImages
    from firmware_app.core.errors import STORE_NOT_READY

    if source.kind != "dicom":
        yield from watching.stream_readings()
        return
    if clinical is None:
        raise STORE_NOT_READY(database=state.clinical_db.name)
    yield from watching.stream_arrivals(ArrivingImages(clinical, state, pack.manifest.route.modalities[0]).poll_newest)


def _find_pack(name: str | None, config: Config) -> Pack:
    """The pack of this name, or the only one that reads ultrasound pictures."""
    from firmware_app.cli.errors import PACK_OF_VOLUMES, PACK_UNCLEAR
    from firmware_app.packs.errors import PACK_UNKNOWN
    from firmware_app.packs.pack_store import PackStore

    packs = PackStore.from_config(config).survey().packs
    if name is not None:
        found = [pack for pack in packs if pack.name == name]
        if not found:
            raise PACK_UNKNOWN(pack=name)
    else:
        found = [pack for pack in packs if "US" in pack.manifest.route.modalities and pack.manifest.input.depth is None]
        if len(found) != 1:
            raise PACK_UNCLEAR(packs=", ".join(pack.name for pack in found or packs) or "-")
    if found[0].manifest.input.depth is not None:
        raise PACK_OF_VOLUMES(pack=found[0].name)
    return found[0]


def _make_local_thresholds(
    clinical: ClinicalDatabase, config: Config, pack: Pack
) -> Callable[[tuple[Finding, ...]], tuple[Finding, ...]]:
    """The clinic's own thresholds; raises `PACK_UNFIT_HERE` for a pack that is suspended."""
    from firmware_app.monitoring.errors import PACK_UNFIT_HERE
    from firmware_app.reading.local_calibration import LocalCalibration

    local = LocalCalibration(clinical, config)
    chosen = local.find_local_model(pack.manifest, None)
    if local.is_suspended(chosen):
        raise PACK_UNFIT_HERE(pack=pack.name)
    return lambda findings: local.apply_thresholds(chosen, findings)[0]


def _open_page(folder: LiveFolder, state: StateDir, clinical: ClinicalDatabase, config: Config, pack: Pack) -> LivePage:
    from firmware_app.cli.live_examination import LivePage

    return LivePage(folder, state, clinical, config, pack.manifest)


def _find_stale_folder(state: StateDir) -> object:
    """The folder that a killed `lantern watch` has announced; to be called by the one that holds the lock."""
    from firmware_app.core.live_frame import WATCH_PROCESS

    try:
        said = json.loads((state.run / f"{WATCH_PROCESS}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return said.get("folder") if isinstance(said, dict) else None


class _Report:
    """What is printed, and what is told to the page."""

    def __init__(self, config: Config, *, as_json: bool) -> None:
        from firmware_app.cli.live_examination import FrameRate

        self._config, self._as_json = config, as_json
        self._rate, self._said = FrameRate(), 0.0
        self._delays: list[float] = []
        self._last: LiveReading | None = None
        self._hz = 0.0

    def show(self, one: LiveReading | SessionEvent | None, page: LivePage | None) -> None:
        """Print *one*: each with --json, else a line a second."""
        from firmware_app.cli import live_examination
        from firmware_app.reading.live_session import SessionEvent

        if one is None:
            return
        now = time.monotonic()
        if not isinstance(one, SessionEvent):
            self._hz, self._last = self._rate.update(now), one
            if len(self._delays) < _MOST_DELAYS:
                self._delays.append(one.delay_ms)
        if page is not None:
            page.show(one, self._hz)
        if self._as_json:
            print(
                json.dumps(live_examination.format_line(one, self._hz, self._config.box.language), ensure_ascii=False),
                flush=True,
            )
        elif isinstance(one, SessionEvent):
            if one.reason is not None:
                print(one.reason.text(printable_language(self._config.box.language)), flush=True)
        elif now - self._said > _SAY_S:
            self._said = now
            print(self._format_line(one), flush=True)

    def finish(self) -> None:
        """The figures over all frames, on stderr."""
        if not self._delays or self._last is None:
            return
        ordered = sorted(self._delays)
        sentence = N_(
            "{read} of {came} frames read, {dropped} dropped; delay {median:.0f} ms in the middle, "
            "{most:.0f} ms for 95 of 100."
        )
        said = translate(sentence, printable_language(self._config.box.language, sys.stderr)).format(
            read=self._last.counts.read,
            came=self._last.counts.came,
            dropped=self._last.counts.dropped,
            median=statistics.median(ordered),
            most=ordered[int(0.95 * (len(ordered) - 1))],
        )
        print(said, file=sys.stderr)

    def _format_line(self, one: LiveReading) -> str:
        from firmware_app.results.case_text import format_finding

        language = printable_language(self._config.box.language)
        said = one.reason.text(language) if one.reason is not None else ""
        said = said or "; ".join(format_finding(finding, language) for finding in one.findings)
        sentence = N_("{rate:.0f} frames a second, delay {delay:.0f} ms, {dropped} dropped. {said}")
        return translate(sentence, language).format(
            rate=self._hz, delay=one.delay_ms, dropped=one.counts.dropped, said=said
        )
