"""Every transfer syntax in common use gives the frame that was stored, and a frame that is cut is never shown."""

from __future__ import annotations

import builtins
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jpeg_ls import encode_buffer
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, encapsulate_extended, get_frame
from pydicom.uid import (
    HTJ2K,
    UID,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from firmware_app.core.errors import ImagingError, Undecodable
from firmware_app.imaging import image_file
from firmware_app.imaging.errors import (
    CLIP_WITHOUT_PICTURES,
    SIGN_CONTRADICTED,
    VIDEO_READER_MISSING,
    PixelsUnsupported,
)
from tests import clips, films, htj2k, lossless_jpeg
from tests.refusals import raises_refusal

ENCAPSULATED_UNCOMPRESSED = UID("1.2.840.10008.1.2.1.98")
DEFLATED_FRAMES = UID("1.2.840.10008.1.2.8.1")
JPEG_XL = UID("1.2.840.10008.1.2.4.110")
MULTI_COMPONENT = UID("1.2.840.10008.1.2.4.92")
# What pydicom does not know, and one of the same length to write instead.
UNKNOWN = {DEFLATED_FRAMES: JPEG2000Lossless, JPEG_XL: HTJ2KLossless}

Pixels = np.ndarray[Any, Any]


def greys(folder: Path, dataset: FileDataset, syntax: UID | None = None) -> list[Pixels]:
    path = films.save(folder, "film.dcm", dataset)
    if syntax is not None:  # one that pydicom does not know, and so does not write
        written = dataset.file_meta.TransferSyntaxUID.encode()
        written += b"\0" * (len(written) % 2)
        path.write_bytes(path.read_bytes().replace(written, syntax.encode().ljust(len(written), b"\0"), 1))
    with image_file.open_image_file(path, is_picture=False) as opened:
        return [opened.grey(index) for index in range(opened.frames)]


def make_multiframe(streams: list[bytes], pixels: Pixels, syntax: UID, **attributes: Any) -> FileDataset:
    frames = {"NumberOfFrames": len(streams)} if len(streams) > 1 else {}
    if syntax in UNKNOWN:
        syntax = UNKNOWN[syntax]
    return films.film(pixels, syntax=syntax, pixel_data=encapsulate(streams), **frames, **attributes)


def noise(*shape: int, kind: str = "uint16", seed: int = 3) -> Pixels:
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, shape, dtype=kind)


# --- transfer syntaxes --------------------------------------------------------------------------------------------


def test_a_deflated_frame_is_inflated_to_its_size_and_no_further(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(50_000_000), wbits=-zlib.MAX_WBITS)
    [decoded] = greys(tmp_path, make_multiframe([bomb], noise(8, 8), DEFLATED_FRAMES), DEFLATED_FRAMES)
    assert not decoded.any()


def test_high_throughput_jpeg_2000_is_the_pattern_that_it_was_made_of(tmp_path: Path) -> None:
    twelve = {"BitsStored": 12, "HighBit": 11}
    [lossless] = greys(tmp_path, make_multiframe([htj2k.GREY], htj2k.draw_grey(), HTJ2KLossless, **twelve))
    np.testing.assert_array_equal(lossless, htj2k.draw_grey())
    [lossy] = greys(tmp_path, make_multiframe([htj2k.LOSSY], htj2k.draw_grey(), HTJ2K, **twelve))
    np.testing.assert_allclose(lossy, htj2k.draw_grey(), atol=1)
    dataset = make_multiframe([htj2k.COLOUR], htj2k.draw_colour(), HTJ2KLossless, PhotometricInterpretation="YBR_RCT")
    with image_file.open_image_file(films.save(tmp_path, "colour.dcm", dataset), is_picture=False) as opened:
        np.testing.assert_array_equal(opened.render_frame(0).pixels, htj2k.draw_colour())


def signed_stream(values: Pixels, bits: int) -> bytes:
    """JPEG 2000 whose header calls its samples signed: what an unsigned one stores is its values less the middle."""
    out = io.BytesIO()
    middle = 1 << (bits - 1)
    Image.fromarray((values + middle).astype(f"u{bits // 8}")).save(out, "JPEG2000", no_jp2=True)
    stream = bytearray(out.getvalue())
    assert stream[42] == bits - 1  # Ssiz, ISO/IEC 15444-1 A.5.1
    stream[42] |= 0x80
    return bytes(stream)


@pytest.mark.parametrize("bits", [16])
def test_a_signed_stream_below_zero_under_an_unsigned_header_is_refused(tmp_path: Path, bits: int) -> None:
    """A CT of a certain make: its air, below zero, came out as the brightest white."""
    values = noise(24, 20, kind="uint8").astype(np.int64) // 2
    whole = make_multiframe([signed_stream(values, bits)], values.astype(f"u{bits // 8}"), JPEG2000Lossless)
    [decoded] = greys(tmp_path, whole)
    np.testing.assert_array_equal(decoded, values)
    values[3, 5] = -1
    below = make_multiframe([signed_stream(values, bits)], values.astype(f"u{bits // 8}"), JPEG2000Lossless)
    with raises_refusal(SIGN_CONTRADICTED):
        greys(tmp_path, below)


def test_a_compressed_object_that_leaves_out_its_vrs_is_read(tmp_path: Path) -> None:
    pixels = np.full((32, 24), 90, np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    plain = films.film(pixels)
    del plain.PixelData
    plain.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = io.BytesIO()
    plain.save_as(buffer, implicit_vr=True, little_endian=True, enforce_file_format=True)
    data = buffer.getvalue().replace(b"UI\x12\x001.2.840.10008.1.2\x00", b"UI\x16\x001.2.840.10008.1.2.4.50", 1)
    data = data[:140] + struct.pack("<L", int.from_bytes(data[140:144], "little") + 4) + data[144:]
    data += b"\xe0\x7f\x10\x00\xff\xff\xff\xff" + encapsulate([out.getvalue()]) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    (tmp_path / "implicit.dcm").write_bytes(data)
    with image_file.open_image_file(tmp_path / "implicit.dcm", is_picture=False) as opened:
        np.testing.assert_allclose(opened.grey(0), pixels, atol=2)


@pytest.mark.parametrize("syntax", [JPEG_XL, MULTI_COMPONENT])
def test_a_syntax_without_a_decoder_is_refused_by_name(tmp_path: Path, syntax: UID) -> None:
    with pytest.raises(ImagingError) as refused:
        greys(tmp_path, make_multiframe([htj2k.GREY], htj2k.draw_grey(), syntax), syntax)
    assert isinstance(refused.value, PixelsUnsupported)


# --- which fragment is which frame --------------------------------------------------------------------------------


def _jpeg2000(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG2000", no_jp2=True, irreversible=False)
    return out.getvalue()


@pytest.mark.parametrize("told_by", ["basic table", "extended table", "ends of the streams"])
def test_a_frame_in_several_fragments_is_put_together(tmp_path: Path, told_by: str) -> None:
    pixels = [noise(20, 24, kind="uint8", seed=seed) for seed in (1, 2, 3)]
    streams = [_jpeg2000(each) for each in pixels]
    extra: dict[str, Any] = {}
    if told_by == "extended table":
        _, offsets, lengths = encapsulate_extended(streams)
        extra = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    data = encapsulate(
        streams, fragments_per_frame=1 if told_by == "extended table" else 2, has_bot=told_by == "basic table"
    )
    dataset = films.film(pixels[0], syntax=JPEG2000Lossless, pixel_data=data, NumberOfFrames=3, **extra)
    for decoded, expected in zip(greys(tmp_path, dataset), pixels, strict=True):
        np.testing.assert_array_equal(decoded, expected)


def _item(value: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(value)) + value


def _run_lengths(pixels: Pixels) -> bytes:
    made = films.film(pixels)
    made.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return get_frame(made.PixelData, 0, number_of_frames=1)


def _coded_frame(pixels: Pixels, syntax: UID) -> bytes:
    out = io.BytesIO()
    if syntax == RLELossless:
        return _run_lengths(pixels)
    if syntax == JPEGLSLossless:
        return bytes(encode_buffer(pixels.tobytes(), *pixels.shape, 1, 8))
    if syntax == JPEGLosslessSV1:
        return lossless_jpeg.encode_lossless(pixels, 8)
    if syntax == JPEG2000Lossless:
        return _jpeg2000(pixels)
    Image.fromarray(pixels).save(out, "JPEG", quality=100)
    return out.getvalue()


def _even(stream: bytes) -> bytes:
    return stream + b"\0" * (len(stream) % 2)


SPLIT = [RLELossless, JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless, JPEGBaseline8Bit]


@pytest.mark.parametrize("syntax", SPLIT)
@pytest.mark.parametrize(("size", "has_table"), [(2, False), (1000, True)])
def test_one_frame_is_all_its_fragments_however_small(tmp_path: Path, syntax: UID, size: int, has_table: bool) -> None:
    """PS3.5 A.4.2 wants a frame of RLE in one fragment, and some machines split it; one frame can be nothing else."""
    pixels = noise(40, 50, kind="uint8") // 4 * 4
    stream = _even(_coded_frame(pixels, syntax))
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    table = _item(struct.pack("<L", 0) if has_table else b"")
    data = table + b"".join(_item(piece) for piece in pieces) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    dataset = films.film(pixels, syntax=syntax, pixel_data=data)
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", dataset), is_picture=False) as opened:
        np.testing.assert_allclose(opened.grey(0), pixels, atol=12 if syntax == JPEGBaseline8Bit else 0)
        assert opened.hints == ()


@pytest.mark.parametrize("told_by", ["basic table", "extended table", "headers of the streams"])
def test_frames_of_run_lengths_in_several_fragments_are_put_together(tmp_path: Path, told_by: str) -> None:
    pixels = [noise(20, 24, 3, kind="uint8", seed=seed) for seed in (1, 2, 3)]
    streams = [_even(_run_lengths(each)) for each in pixels]
    pieces = [[stream[:128], stream[128:300], stream[300:]] for stream in streams]
    places = np.cumsum([0, *(len(stream) + 24 for stream in streams)]).tolist()
    extra: dict[str, Any] = {}
    if told_by == "extended table":
        extra = {
            "ExtendedOffsetTable": struct.pack("<3Q", *places[:3]),
            "ExtendedOffsetTableLengths": struct.pack("<3Q", *map(len, streams)),
        }
    table = struct.pack("<3L", *places[:3]) if told_by == "basic table" else b""
    items = b"".join(_item(piece) for frame in pieces for piece in frame)
    data = _item(table) + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    dataset = films.film(pixels[0], syntax=RLELossless, pixel_data=data, NumberOfFrames=3, **extra)
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", dataset), is_picture=False) as opened:
        for index, expected in enumerate(pixels):
            np.testing.assert_array_equal(opened.render_frame(index).pixels, expected)


def test_an_offset_table_that_lies_is_not_believed(tmp_path: Path) -> None:
    pixels = [noise(20, 24, kind="uint8", seed=seed) for seed in (1, 2)]
    data = bytearray(encapsulate([_jpeg2000(each) for each in pixels], fragments_per_frame=2))
    data[12:16] = struct.pack("<L", 77)
    dataset = films.film(pixels[0], syntax=JPEG2000Lossless, pixel_data=bytes(data), NumberOfFrames=2)
    for decoded, expected in zip(greys(tmp_path, dataset), pixels, strict=True):
        np.testing.assert_array_equal(decoded, expected)


# --- cut frames in whole objects ----------------------------------------------------------------------------------


def _encode_film(syntax: UID) -> tuple[bytes, Pixels]:
    pixels = noise(64, 48, kind="uint8")
    if syntax == JPEGBaseline8Bit:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG")
        return out.getvalue(), pixels
    if syntax == JPEG2000Lossless:
        return _jpeg2000(pixels), pixels
    if syntax == HTJ2KLossless:
        return htj2k.GREY, htj2k.draw_grey()
    if syntax == DEFLATED_FRAMES:
        return zlib.compress(pixels.tobytes(), wbits=-zlib.MAX_WBITS), pixels
    if syntax == ENCAPSULATED_UNCOMPRESSED:
        return pixels.tobytes(), pixels
    dataset = films.film(pixels)
    dataset.compress(syntax, generate_instance_uid=False)
    return get_frame(dataset.PixelData, 0, number_of_frames=1).rstrip(b"\0"), pixels


@pytest.mark.parametrize(
    "syntax",
    [
        RLELossless,
        JPEGBaseline8Bit,
        JPEGLSLossless,
        JPEG2000Lossless,
        HTJ2KLossless,
        DEFLATED_FRAMES,
        ENCAPSULATED_UNCOMPRESSED,
    ],
)
def test_a_cut_code_stream_is_no_frame_although_the_object_is_whole(tmp_path: Path, syntax: UID) -> None:
    stream, pixels = _encode_film(syntax)
    assert len(greys(tmp_path, make_multiframe([stream], pixels, syntax), syntax)) == 1
    for left_out in (4, 40, len(stream) // 2):
        with pytest.raises(ImagingError):
            greys(tmp_path, make_multiframe([stream[:-left_out]], pixels, syntax), syntax)


# --- video --------------------------------------------------------------------------------------------------------

FILES = [("libx264", "mp4"), ("mjpeg", "avi"), ("mpeg4", "avi"), ("mpeg2video", "mpeg")]
STREAMS = [
    ("mpeg2video", "mpegts", "1.2.840.10008.1.2.4.100"),
    ("libx264", "mp4", "1.2.840.10008.1.2.4.103"),
    ("libx264", "h264", "1.2.840.10008.1.2.4.104"),
    ("libx265", "mp4", "1.2.840.10008.1.2.4.108"),
]
ORDER = (0, 1, 2, 20, 21, 39, 5, 0, 38)


def _like(frame: Pixels, number: int) -> bool:
    return bool(np.abs(frame.astype(float) - clips.draw_frame(number)).mean() < 4)


@pytest.mark.parametrize(("codec", "container"), FILES)
def test_a_clip_gives_each_frame_in_any_order(tmp_path: Path, codec: str, container: str) -> None:
    path = tmp_path / f"clip.{container}"
    path.write_bytes(clips.encode_clip(codec, container, 40, g="12"))
    with image_file.open_image_file(path, is_picture=True) as opened:
        assert (opened.rows, opened.columns, opened.frames) == (clips.ROWS, clips.COLUMNS, 40)
        for index in ORDER:
            assert _like(opened.render_frame(index).pixels, index), index
        assert opened.grey(3).shape == (clips.ROWS, clips.COLUMNS)
        with pytest.raises(Undecodable):
            opened.grey(40)


def _make_video(stream: bytes, syntax: str, frames: int, per_fragment: int) -> FileDataset:
    streams = [stream[at : at + per_fragment] for at in range(0, len(stream), per_fragment)]
    return films.film(
        clips.draw_frame(0),
        syntax=UID(syntax),
        pixel_data=encapsulate(streams, has_bot=False),
        NumberOfFrames=frames,
        PhotometricInterpretation="YBR_PARTIAL_420",
    )


@pytest.mark.parametrize(("codec", "container", "syntax"), STREAMS)
def test_a_video_in_a_dicom_object_gives_each_frame(tmp_path: Path, codec: str, container: str, syntax: str) -> None:
    stream = clips.encode_clip(codec, container, 40, g="12")
    path = films.save(tmp_path, "video.dcm", _make_video(stream, syntax, 40, 1000))
    with image_file.open_image_file(path, is_picture=False) as opened:
        assert opened.frames == 40
        for index in ORDER:
            assert _like(opened.render_frame(index).pixels, index), index


def test_a_video_with_fewer_frames_than_its_header_says_is_refused(tmp_path: Path) -> None:
    stream = clips.encode_clip("libx264", "h264", 40)
    path = films.save(tmp_path, "video.dcm", _make_video(stream, "1.2.840.10008.1.2.4.102", 41, len(stream)))
    with pytest.raises(Undecodable), image_file.open_image_file(path, is_picture=False) as opened:
        opened.grey(0)


@pytest.mark.parametrize("container", ["mp4", "avi"])
def test_a_clip_of_sound_alone_says_that_it_holds_no_picture(tmp_path: Path, container: str) -> None:
    av = pytest.importorskip("av", reason="needs PyAV (extra video)")
    path = tmp_path / f"clip.{container}"
    with av.open(path, "w") as clip:
        stream = clip.add_stream("pcm_s16le" if container == "avi" else "aac", rate=16000, layout="mono")
        for _ in range(4):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
            sound.sample_rate = 16000
            clip.mux(stream.encode(sound))
        clip.mux(stream.encode(None))
    with raises_refusal(CLIP_WITHOUT_PICTURES) as refused, image_file.open_image_file(path, is_picture=True):
        pass
    assert "no picture" in refused.value.text("en")


def test_without_the_part_for_video_a_clip_is_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without_av(name: str, *rest: Any, **named: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return original(name, *rest, **named)

    (tmp_path / "clip.mp4").write_bytes(clips.encode_clip("libx264", "mp4", 4))
    monkeypatch.setattr(builtins, "__import__", without_av)
    with (
        raises_refusal(VIDEO_READER_MISSING) as refused,
        image_file.open_image_file(tmp_path / "clip.mp4", is_picture=True),
    ):
        pass
    assert "-m pip install av" in refused.value.text("en")


def test_a_broken_frame_of_a_clip_is_refused_and_its_neighbours_are_not(tmp_path: Path) -> None:
    data = clips.encode_clip("mjpeg", "avi", 10)
    starts = [at for at in range(data.index(b"movi"), len(data)) if data.startswith(b"00dc", at)]
    broken = bytearray(data)
    middle = starts[4] + 8 + (starts[5] - starts[4]) * 3 // 4
    broken[middle : middle + 60] = b"\xff\xd9" * 30
    (tmp_path / "clip.avi").write_bytes(broken)
    with image_file.open_image_file(tmp_path / "clip.avi", is_picture=True) as opened:
        with pytest.raises(Undecodable):
            opened.grey(4)
        assert _like(opened.render_frame(6).pixels, 6)
