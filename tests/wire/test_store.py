"""What becomes of an image that is sent: kept, known again, or refused with a status and a reason."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.objects import EXPLICIT, element, film, new_uid
from tests.small_disk import small_disk
from tests.wire.gateways import Running, process, running
from tests.wire.raw import Closed, RawClient

CT = "1.2.840.10008.5.1.4.1.1.2"
STORE = [(CT, [EXPLICIT])]


@pytest.fixture
def client(gateway: Running) -> Iterator[RawClient]:
    with RawClient(gateway.port, STORE) as opened:
        yield opened


def ct(instance: str, **changes: object) -> bytes:
    return film(sop_class=CT, sop_instance=instance, **changes)  # type: ignore[arg-type]


# --- known again --------------------------------------------------------------------------------------------------


def test_an_identical_resend_is_a_success_and_kept_once(gateway: Running, client: RawClient) -> None:
    instance = new_uid()
    data_set = ct(instance)
    assert client.store(CT, instance, data_set).status == 0
    assert client.store(CT, instance, data_set).status == 0
    client.release()
    assert len(gateway.files()) == 1
    assert gateway.outcomes() == [("accepted", None), ("duplicate", None)]


@pytest.mark.parametrize(
    ("age", "pixels", "status", "said", "code"),
    [
        (b"003Y", b"1", 0xC009, "The same image is already here, but its details", "intake.header_conflict"),
        (b"034Y", b"2", 0xC008, "Another image with the same identity", "intake.conflict"),
    ],
    ids=["a corrected header", "other pixels"],
)
def test_another_object_under_the_same_identity_is_refused_and_kept_aside(
    gateway: Running, client: RawClient, age: bytes, pixels: bytes, status: int, said: str, code: str
) -> None:
    instance = new_uid()
    first = ct(instance, pixels=b"1" * 512)
    assert client.store(CT, instance, first).status == 0
    again = first.replace(b"034Y", age).replace(b"1" * 512, pixels * 512)
    answer = client.store(CT, instance, again)
    assert answer.status == status
    assert answer.comment.startswith(said)
    client.release()
    assert len(gateway.files()) == 1
    [kept] = gateway.state.set_aside.iterdir()
    assert kept.read_bytes().endswith(again)
    assert gateway.outcomes() == [("accepted", None), ("refused", code)]


def test_one_instance_sent_by_many_at_once_is_kept_once(gateway: Running) -> None:
    instance = new_uid()
    data_set = ct(instance)
    statuses: list[int] = []

    def send() -> None:
        with RawClient(gateway.port, STORE) as sender:
            statuses.append(sender.store(CT, instance, data_set).status)
            sender.release()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0] * 8
    assert len(gateway.files()) == 1
    assert sorted(gateway.outcomes()) == [("accepted", None)] + [("duplicate", None)] * 7
    assert gateway.incoming() == []


# --- refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("break_it", "status", "code"),
    [
        (lambda whole: whole[:-1], 0xC001, "intake.truncated"),
        (lambda whole: b"", 0xC005, "intake.identity_missing"),
        (lambda whole: whole[: -512 - 12] + element(0x7FE00010, b"OW", bytes(100)), 0xC004, "intake.pixel_length"),
        (
            lambda whole: element(0x00080005, b"CS", b"ISO_IR 100") + b"\xfe\xff\xdd\xe0\0\0\0\0",
            0xC002,
            "intake.malformed",
        ),
    ],
)
def test_a_broken_object_is_refused_and_the_association_goes_on(
    gateway: Running, client: RawClient, break_it: object, status: int, code: str
) -> None:
    assert callable(break_it)
    instance = new_uid()
    answer = client.store(CT, instance, break_it(ct(instance)))
    assert (answer.status, gateway.outcomes()) == (status, [("refused", code)])
    assert answer.comment
    assert client.store(CT, instance, ct(instance)).status == 0
    assert gateway.incoming() == []


def test_an_object_above_the_limit_is_refused_and_an_endless_one_aborted(tmp_path: Path) -> None:
    with running(tmp_path, dicom={"max_object_mb": 1}) as gateway:
        instance = new_uid()
        with RawClient(gateway.port, STORE) as client:
            large = ct(instance, extra=element(0x00090010, b"OB", bytes(1_200_000)))
            assert client.store(CT, instance, large).status == 0xA702
            assert gateway.incoming() == []
            client.begin_store(CT, instance)
            with pytest.raises((Closed, OSError)):  # noqa: PT012
                for _ in range(1000):
                    client.send_fragments(1, bytes(16000), command=False, size=16000, last=False)
        assert gateway.outcomes() == [("refused", "intake.too_large")] * 2


# --- half of it ---------------------------------------------------------------------------------------------------


def test_an_association_lost_midway_leaves_nothing(gateway: Running) -> None:
    for ending in ("close", "abort", "release"):
        with RawClient(gateway.port, STORE) as client:
            client.begin_store(CT, new_uid())
            client.send_fragments(1, bytes(100_000), command=False, size=16000, last=False)
            client.request_end(ending)
    with RawClient(gateway.port, STORE) as client:  # an orderly one afterwards, to know that the others were served
        client.release()
    eventually(lambda: gateway.incoming() == [] and open_associations(gateway) == 0)
    assert gateway.files() == []
    assert gateway.outcomes() == []


def test_a_killed_gateway_keeps_what_it_acknowledged_and_clears_the_rest(tmp_path: Path) -> None:
    with process(tmp_path) as gateway:
        assert gateway.process is not None
        with RawClient(gateway.port, STORE) as client:
            for _ in range(5):
                instance = new_uid()
                assert client.store(CT, instance, ct(instance)).status == 0
            client.begin_store(CT, new_uid())
            client.send_fragments(1, bytes(200_000), command=False, size=16000, last=False)
            client.socket.shutdown(1)
            gateway.process.kill()
            gateway.process.wait()
    with process(tmp_path) as again:
        assert again.incoming() == []
        assert len(again.files()) == 5
        assert open_associations(again) == 0


def eventually(true: object) -> None:
    """Wait for an effect on disk that nobody announces, such as another thread's clean-up."""
    assert callable(true)
    settled = threading.Event()
    for _ in range(200):
        if true():
            return
        settled.wait(0.05)
    pytest.fail("it never came true")


def open_associations(gateway: Running) -> int:
    count: int = gateway.clinical.database.connection.execute(
        "SELECT COUNT(*) FROM associations WHERE closed_at IS NULL"
    ).fetchone()[0]
    return count


# --- a full disk --------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "size=48m") as folder:
        yield folder


def test_a_full_disk_is_answered_and_loses_nothing(disk: Path) -> None:
    accepted = 0
    with running(disk / "state", dicom={"max_object_mb": 20}) as gateway:
        with RawClient(gateway.port, STORE) as client:
            for _ in range(60):
                instance = new_uid()
                answer = client.store(CT, instance, ct(instance, rows=512, columns=1024))
                if answer.status != 0:
                    break
                accepted += 1
            assert answer.status == 0xA700
            assert "disk" in answer.comment
            (disk / "filler").write_bytes(bytes(20_000_000)[: os.statvfs(disk).f_bavail * 4096 - 300_000])
            instance = new_uid()
            assert client.store(CT, instance, ct(instance)).status == 0xA700  # really full
            client.release()
        assert 5 < accepted < 40
        assert len(gateway.files()) == accepted
        assert gateway.incoming() == []
        (disk / "filler").unlink()


# --- everything we have -------------------------------------------------------------------------------------------


def test_the_process_that_faces_the_network_holds_no_decoder(tmp_path: Path) -> None:
    with process(tmp_path) as gateway:
        assert gateway.process is not None
        mapped = Path(f"/proc/{gateway.process.pid}/maps").read_text()
        assert "libpython" in mapped or "python" in mapped
        assert not [
            name
            for name in ("gdcm", "imagecodecs", "openjpeg", "jpeg_ls", "_imaging", "numpy", "onnxruntime")
            if name in mapped
        ]
        with RawClient(gateway.port, STORE) as client:
            instance = new_uid()
            assert client.store(CT, instance, ct(instance)).status == 0
            client.release()
