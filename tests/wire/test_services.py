"""What the DICOM port offers, tried with the peers that clinics use: dcmtk's tools and pynetdicom."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom.sop_class import CTImageStorage

from firmware_app.dicom import sop_classes, transfer_syntax
from firmware_app.dicom.negotiation import STORAGE
from tests.objects import IMPLICIT
from tests.peers import peer, pydicom_file
from tests.wire.gateways import Running
from tests.wire.raw import RawClient

CT = str(CTImageStorage)


def dcmtk(tool: str, gateway: Running, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run *tool* against the gateway; dcmtk wants options before the address and files after it."""
    options = [str(argument) for argument in arguments if not isinstance(argument, Path)]
    files = [str(argument) for argument in arguments if isinstance(argument, Path)]
    return subprocess.run(
        [peer(tool), "-v", *options, "127.0.0.1", str(gateway.port), *files],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_echoscu_is_answered(gateway: Running) -> None:
    answered = dcmtk("echoscu", gateway)
    assert answered.returncode == 0, answered.stderr
    assert "Received Echo Response (Success)" in answered.stdout + answered.stderr


@pytest.mark.parametrize(
    ("proposal", "name"),
    [
        ("-x=", "CT_small.dcm"),
        ("-xe", "CT_small.dcm"),
        ("-xi", "MR_small_implicit.dcm"),
        ("-xb", "MR_small_bigendian.dcm"),
        ("-xs", "SC_rgb_jpeg_gdcm.dcm"),
        ("-xy", "SC_rgb_dcmtk_+eb+cr.dcm"),
        ("-xx", "JPGExtended.dcm"),
        ("-xt", "MR_small_jpeg_ls_lossless.dcm"),
        ("-xu", "JPEGLSNearLossless_08.dcm"),
        ("-xv", "MR_small_jp2klossless.dcm"),
        ("-xw", "JPEG2000.dcm"),
        ("-xr", "MR_small_RLE.dcm"),
    ],
)
def test_storescu_is_taken_with_every_proposal_of_transfer_syntaxes(gateway: Running, proposal: str, name: str) -> None:
    sent = pydicom_file(name)
    stored = dcmtk("storescu", gateway, proposal, sent)
    assert stored.returncode == 0, stored.stderr
    [kept] = gateway.files()
    before, after = dcmread(sent), dcmread(kept)
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    assert after.PixelData == before.PixelData
    assert gateway.outcomes() == [("accepted", None)]


def test_every_storage_class_is_accepted_also_the_retired_ones(gateway: Running) -> None:
    assert len(STORAGE) > 170
    assert set(sop_classes.RETIRED.values()) <= STORAGE
    classes = sorted(STORAGE)
    for start in range(0, len(classes), 100):
        batch = classes[start : start + 100]
        with RawClient(gateway.port, [(uid, [IMPLICIT]) for uid in batch]) as client:
            assert set(client.results.values()) == {0}
            client.release()


def test_every_transfer_syntax_but_the_refused_ones_is_negotiated(gateway: Running) -> None:
    refused = ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205", "1.2.3"]
    syntaxes = [*transfer_syntax.ACCEPTED_SYNTAXES, *refused]
    with RawClient(gateway.port, [(CT, [uid]) for uid in syntaxes]) as client:
        results = [client.results[2 * number + 1] for number in range(len(syntaxes))]
        assert results == [0] * len(transfer_syntax.ACCEPTED_SYNTAXES) + [4] * len(refused)
        client.release()
