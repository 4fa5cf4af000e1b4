"""A disk that is full, out of inodes or read-only, in the middle of whatever the box writes just then."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.faults import doctor, ledger
from tests.faults.clinic import wait_until
from tests.faults.loopfs import LoopFileSystem, loop_file_system
from tests.faults.scene import AttackRun, Outcome, Scene, run_attack
from tests.objects import DX, EXPLICIT, film, new_uid
from tests.peers import peer
from tests.wire.raw import Closed, RawClient, Refused

_SIDE = 1024
_MEGABYTES = 192
_ANSWER_S = 20.0
_SOME = 4
_LITTLE_BYTES = 32_000_000  # above the mark at which images are refused


@contextmanager
def _small(scene: Scene, name: str, inodes: int | None = None) -> Iterator[tuple[AttackRun, LoopFileSystem]]:
    """A box on a small disk of its own, running; the same processes must run at the end of the block."""
    room = scene.room(name.replace(" ", "-"))
    with (
        loop_file_system(room, _MEGABYTES, inodes) as disk,
        run_attack(scene, "disk", disk.mount / "state", line=False, room=room) as play,
    ):
        play.outcome.attack = name
        play.clinic.start()
        play.clinic.ready("gateway", "reader", "viewer")
        yield play, disk
        play.wait_settled()
        play.conclude()
        play.tracebacks()


@contextmanager
def _nobody_dies(play: AttackRun) -> Iterator[None]:
    """Through the block every process lives on, and the viewer answers at its end."""
    before = {role: process.pid for role, process in play.clinic.list_processes_by_role().items()}
    yield
    after = {role: process.pid for role, process in play.clinic.list_processes_by_role().items()}
    play.outcome.unexpected += [f"{role} ended" for role, pid in before.items() if after.get(role) != pid]
    viewer = play.clinic.read_announcement("viewer")
    if viewer is None or not doctor.is_up(int(viewer["port"] or 0)):
        play.outcome.unexpected.append("the viewer did not answer")


def fill_in_store(scene: Scene, times: int) -> Outcome:
    """The last byte of the disk goes while an image is on the wire: refused with a code, the next one taken."""
    with _small(scene, "full disk in a C-STORE") as (play, disk):
        for number in range(times):
            scene.say(f"{play.outcome.attack}: {number + 1} of {times}")
            with _nobody_dies(play):
                _interrupt_store(play, disk.fill)
                _expect_refusal(play)
                disk.free()
                play.send(1)
        play.outcome.strikes = f"{times} times full to the last byte"
    return play.outcome


def _interrupt_store(play: AttackRun, interrupt: Callable[[], None]) -> None:
    """*interrupt* between two fragments of one image, which says too little of itself to be judged."""
    play.unjudgeable += 1
    instance = new_uid()
    data = film(sop_instance=instance, rows=_SIDE, columns=_SIDE)
    split = play.chance.randrange(0, len(data))
    try:
        with RawClient(play.clinic.port, [(DX, [EXPLICIT])]) as client:
            client.begin_store(DX, instance)
            client.send_fragments(1, data[:split], command=False, size=16000, last=False)
            interrupt()
            client.send_fragments(1, data[split:], command=False, size=16000)
            status = client.answer().status
    except (Closed, Refused, OSError) as error:
        play.outcome.unexpected.append(f"no answer to a C-STORE: {type(error).__name__}")
        return
    if status == 0:
        play.ledger.acknowledge(instance, hashlib.sha256(data).hexdigest(), 0.0)
    else:
        play.ledger.refused[f"0x{status:04X}"] += 1


def _expect_refusal(play: AttackRun, status: int | None = None) -> None:
    """A whole image on a disk that takes nothing; the answer is to be *status*, where one is given."""
    before = Counter(play.ledger.refused)
    _interrupt_store(play, lambda: None)
    if status is not None and set(play.ledger.refused - before) != {f"0x{status:04X}"}:
        play.outcome.unexpected.append(f"it was not refused with 0x{status:04X}")


def restart_on_full(scene: Scene, times: int) -> Outcome:
    """Power comes back on a disk without a byte: the box is up on its ballast, says what is wrong, refuses, and takes
    images again when there is room."""
    with _small(scene, "start on a full disk") as (play, disk):
        for number in range(times):
            scene.say(f"{play.outcome.attack}: {number + 1} of {times}")
            play.send(_SOME)
            _has_ballast(play)
            if number % 2:
                play.clinic.kill()
            else:
                play.clinic.stop()  # which leaves no log and no shared memory: they have to be made anew
            disk.fill()
            play.clinic.start()
            play.clinic.ready("gateway", "reader", "viewer")
            _expect_trouble(play, "disk.full")
            echo = subprocess.run([peer("echoscu"), "127.0.0.1", str(play.clinic.port)], check=False)
            if echo.returncode != 0:
                play.outcome.unexpected.append("a C-ECHO failed")
            _expect_refusal(play, 0xA700)
            disk.free()
            play.send(1)
            _has_ballast(play)
        play.outcome.restarts = 0  # those here are the technician's
        play.outcome.strikes = f"{times} starts without a byte"
    return play.outcome


def _has_ballast(play: AttackRun) -> None:
    try:
        wait_until(lambda: play.clinic.state.ballast_bytes, _ANSWER_S, "there is ballast")
    except TimeoutError as late:
        play.outcome.unexpected.append(str(late))


def _expect_trouble(play: AttackRun, code: str) -> None:
    """The viewer is up and names *code*."""
    port = int((play.clinic.read_announcement("viewer") or {}).get("port") or 0)
    try:
        wait_until(lambda: code in doctor.troubles(port), _ANSWER_S, f"/healthz says {code}")
    except TimeoutError as late:
        play.outcome.unexpected.append(str(late))


def fill_in_result(scene: Scene, times: int) -> Outcome:
    """Acknowledged images wait while the disk fills under the reader, which reads them when there is room."""
    with _small(scene, "full disk in a result") as (play, disk):
        for number in range(times):
            scene.say(f"{play.outcome.attack}: {number + 1} of {times}")
            with _nobody_dies(play):
                disk.fill(leave=_LITTLE_BYTES)  # now: a reader that stands still for long is replaced
                reader = play.clinic.list_processes_by_role()["reader"]
                reader.send_signal(signal.SIGSTOP)
                play.send(_SOME)
                disk.fill()
                reader.send_signal(signal.SIGCONT)
                for _ in range(3):  # the reader gives up the ballast for its result, and that is taken too
                    time.sleep(play.chance.uniform(0.1, 1.0))
                    disk.fill()
                disk.free()
                _wait_all_read(play)
        play.outcome.strikes = f"{times} × {_SOME} results on a full disk"
    return play.outcome


def _wait_all_read(play: AttackRun) -> None:
    root = play.clinic.state.root
    try:
        wait_until(lambda: ledger.count_waiting(root) == 0, 60, "the images are read when there is room again")
    except TimeoutError as late:
        play.outcome.unexpected.append(str(late))


def fill_in_checkpoint(scene: Scene, times: int) -> Outcome:
    """A WAL that could not be checkpointed for long, and no room for it when it can."""
    checkpoints = 0
    with _small(scene, "full disk in a checkpoint") as (play, disk):
        for number in range(times):
            scene.say(f"{play.outcome.attack}: {number + 1} of {times}")
            with _nobody_dies(play):
                with _hold_snapshot(play):
                    play.send(6 * _SOME)
                    disk.fill(leave=play.chance.choice((0, 8192, 32768, 131072)))
                checkpoints += _checkpoint_fails(play)
                _expect_refusal(play)
                disk.free()
                play.send(1)
        play.outcome.strikes = f"{times} times full, {checkpoints} checkpoints failed for it"
    return play.outcome


@contextmanager
def _hold_snapshot(play: AttackRun) -> Iterator[None]:
    """While someone reads an old snapshot, no page can go from the WAL into the database."""
    connection = sqlite3.connect(play.clinic.state.clinical_db, isolation_level=None)
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT COUNT(*) FROM instances").fetchone()
        yield
    finally:
        connection.close()


def _checkpoint_fails(play: AttackRun) -> bool:
    """Try a checkpoint now, as the next commit of the box may."""
    connection = sqlite3.connect(play.clinic.state.clinical_db, timeout=1, isolation_level=None)
    try:
        return bool(connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0])
    except sqlite3.OperationalError:
        return True
    finally:
        with suppress(sqlite3.OperationalError):
            connection.close()


def exhaust_inodes(scene: Scene, times: int) -> Outcome:
    """Bytes are free but no file can be made."""
    with _small(scene, "out of inodes", inodes=1400) as (play, disk):
        for number in range(times):
            scene.say(f"{play.outcome.attack}: {number + 1} of {times}")
            with _nobody_dies(play):
                _interrupt_store(play, disk.take_inodes)
                _expect_refusal(play)
                disk.give_inodes()
                play.send(2)
        play.outcome.strikes = f"{times} times without an inode"
    return play.outcome


def turn_read_only(scene: Scene, times: int) -> Outcome:
    """The kernel makes a failing disk read-only under the box; then a box is started on one, and it says so."""
    with _small(scene, "read-only disk") as (play, disk):
        for number in range(times):
            scene.say(f"{play.outcome.attack}: {number + 1} of {times}")
            play.send(_SOME)
            _interrupt_store(play, disk.fail_read_only)
            _expect_refusal(play)
            _expect_trouble(play, "disk.read_only")
            play.clinic.stop()
            disk.restore_power()
            play.check_acknowledged()
            disk.make_read_only()
            play.clinic.start()
            _refuses_to_start(play)
            disk.make_read_only(False)
            play.clinic.start()
            play.clinic.ready("gateway", "reader", "viewer")
        play.outcome.restarts = 0  # those here are the technician's
        play.outcome.strikes = f"{times} times read-only, and {times} starts on a read-only disk"
    return play.outcome


def _refuses_to_start(play: AttackRun) -> None:
    try:
        wait_until(lambda: play.clinic.read_exit_status() is not None, _ANSWER_S, "a box ends that cannot write")
    except TimeoutError as late:
        play.outcome.unexpected.append(str(late))
    if play.clinic.read_exit_status() == 0:
        play.outcome.unexpected.append("a box that cannot write said that all was well")
    if not play.clinic.log.read_text("utf-8", "replace").splitlines()[-1].startswith("disk.read_only: "):
        play.outcome.unexpected.append("it did not say that the disk is read-only")
    play.clinic.kill()
