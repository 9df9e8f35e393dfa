"""Undoing PNG filters for a whole picture at once: the values of the decoder, or none at all."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
import pytest

from easyseg.io import plain_png as module
from easyseg.io.plain_png import PNG_MAGIC, grey_values, plain_png

SIZES = [(1, 1), (1, 7), (7, 1), (8, 8), (13, 29), (64, 64), (63, 257)]


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def png(content: bytes, size_hw: tuple[int, int], *, parts: int = 1, kind: bytes = b"\x08\x00\x00\x00\x00") -> bytes:
    """Return a PNG file of compressed rows, cut into chunks."""
    header = size_hw[1].to_bytes(4, "big") + size_hw[0].to_bytes(4, "big") + kind
    cuts = [len(content) * at // parts for at in range(parts + 1)]
    data = b"".join(chunk(b"IDAT", content[cuts[at] : cuts[at + 1]]) for at in range(parts))
    return PNG_MAGIC + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def filtered(values: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return rows with their filters' numbers, (H, 1 + W) uint8, as the specification has it for each pixel."""
    height, width = values.shape
    wide = np.zeros((height + 1, width + 1), int)
    wide[1:, 1:] = values
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 0] = kinds
    for y, kind in enumerate(kinds, start=1):
        left, above, corner = wide[y, :-1], wide[y - 1, 1:], wide[y - 1, :-1]
        near = np.abs(np.stack([above - corner, left - corner, left + above - 2 * corner]))
        paeth = np.choose(near.argmin(axis=0), [left, above, corner])
        guess = [np.zeros(width, int), left, above, (left + above) // 2, paeth][kind]
        rows[y - 1, 1:] = (wide[y, 1:] - guess) % 256
    return rows


def decoded(data: bytes) -> np.ndarray | None:
    """Return what OpenCV reads."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def short_way(data: bytes) -> np.ndarray | None:
    """Return what the short way reads."""
    facts = plain_png(data)
    assert facts is not None
    return grey_values(facts)


def noise(size_hw: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Return any bytes, so that differences wrap."""
    return np.random.default_rng(seed).integers(0, 256, size_hw, dtype=np.uint8)


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("size_hw", SIZES)
def test_each_filter_is_undone_or_left_alone(size_hw: tuple[int, int], kind: int) -> None:
    """Rows without filter, of differences to the left, and to above; means and Paeth's guess are left to a decoder."""
    values = noise(size_hw, seed=kind)
    data = png(zlib.compress(filtered(values, np.full(size_hw[0], kind)).tobytes()), size_hw)
    assert (decoded(data) == values).all(), "the file is what it is meant to be"
    found = short_way(data)
    if kind > 2:
        assert found is None
    else:
        assert found is not None
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert (found == values).all()


def test_rows_of_several_filters_are_left_alone() -> None:
    """One row of another filter is enough."""
    values = noise((9, 12))
    for at in range(9):
        kinds = np.full(9, 1)
        kinds[at] = 2
        assert short_way(png(zlib.compress(filtered(values, kinds).tobytes()), (9, 12))) is None


def test_masks_as_opencv_writes_them() -> None:
    """The short way is the one that these take."""
    for seed, size_hw in enumerate(SIZES):
        values = noise(size_hw, seed) // 60
        found = short_way(cv2.imencode(".png", values)[1].tobytes())
        assert found is not None
        assert (found == values).all()


def test_several_chunks_are_one_stream() -> None:
    """Compressed rows may be cut anywhere."""
    values = noise((20, 20))
    content = zlib.compress(filtered(values, np.full(20, 1)).tobytes())
    found = short_way(png(content, (20, 20), parts=4))
    assert found is not None
    assert (found == values).all()


ROWS = filtered(noise((6, 5)), np.full(6, 1)).tobytes()
WHOLE = zlib.compress(ROWS)


@pytest.mark.parametrize(
    "content",
    [
        zlib.compress(ROWS[:-1]),
        zlib.compress(ROWS + b"\x00"),
        zlib.compress(ROWS + bytes(10**6)),
        WHOLE + b"more",
        WHOLE[:-1],
        WHOLE[:-4] + bytes(4),
        b"nothing of the kind",
        b"",
    ],
    ids=["short", "long", "bomb", "trailing", "cut", "checksum", "text", "empty"],
)
def test_what_is_not_exactly_right_is_left_to_the_decoder(content: bytes) -> None:
    """Too few bytes, too many, bytes behind the end, a wrong checksum: a decoder judges them."""
    assert short_way(png(content, (6, 5))) is None


def test_a_bomb_is_not_blown_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is decompressed than the picture's size allows, and a byte."""
    asked: list[int] = []

    class Inflating:
        """A decompressor that writes down what it is asked for."""

        def decompress(self, content: bytes, most: int) -> bytes:
            asked.append(most)
            raise zlib.error

    monkeypatch.setattr(module.zlib, "decompressobj", Inflating)
    assert short_way(png(zlib.compress(bytes(10**6)), (6, 5))) is None
    assert asked == [6 * 6 + 1]


@pytest.mark.parametrize(
    ("kind", "size_hw"),
    [(b"\x08\x00\x00\x00\x01", (6, 5)), (b"\x08\x00\x01\x00\x00", (6, 5)), (b"\x08\x02\x00\x00\x00", (6, 5))],
    ids=["interlaced", "compression", "rgb"],
)
def test_other_kinds_are_left_to_the_decoder(kind: bytes, size_hw: tuple[int, int]) -> None:
    """Only what the short way understands is read by it."""
    assert short_way(png(WHOLE, size_hw, kind=kind)) is None


def test_chunks_out_of_order_are_left_to_the_decoder() -> None:
    """A second header, an unknown critical chunk, a header of another length."""
    data = png(WHOLE, (6, 5))
    assert short_way(data) is not None
    header_end = len(PNG_MAGIC) + 25
    header = data[len(PNG_MAGIC) : header_end]
    for strange in (header, chunk(b"ABCD", b"")):
        assert short_way(data[:header_end] + strange + data[header_end:]) is None
    longer = chunk(b"IHDR", header[8:21] + b"\x00")
    assert short_way(PNG_MAGIC + longer + data[header_end:]) is None
    between = png(WHOLE, (6, 5), parts=2)
    cut = between.index(b"IDAT", header_end + 8) - 4
    assert short_way(between[:cut] + chunk(b"tEXt", b"a\x00b") + between[cut:]) is None


def test_harmless_chunks_do_no_harm() -> None:
    """A gamma changes what is shown, not what is stored."""
    data = png(WHOLE, (6, 5))
    at = len(PNG_MAGIC) + 25
    with_gamma = data[:at] + chunk(b"gAMA", (45455).to_bytes(4, "big")) + data[at:]
    assert (short_way(with_gamma) == short_way(data)).all()


def test_large_pictures_are_left_to_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums of more bytes would not fit."""
    monkeypatch.setattr(module, "_MOST_BYTES", 35)
    assert short_way(png(WHOLE, (6, 5))) is None
    monkeypatch.setattr(module, "_MOST_BYTES", 36)
    assert short_way(png(WHOLE, (6, 5))) is not None


def test_sums_wrap_without_harm() -> None:
    """The largest picture of the highest bytes has exact values still."""
    values = np.full((2**11, 2**12 - 1), 255, np.uint8)
    rows = np.concatenate([np.full((2**11, 1), 2, np.uint8), np.full_like(values, 255)], axis=1)
    expected = np.repeat((np.arange(1, 2**11 + 1) * 255 % 256).astype(np.uint8)[:, None], 2**12 - 1, axis=1)
    assert rows.size == module._MOST_BYTES
    found = module._unfiltered(rows)
    assert found is not None
    assert (found == expected).all()


def test_the_short_way_refuses_what_the_decoder_refuses() -> None:
    """Of hundreds of files with a changed stream, none is read in another way than OpenCV reads it."""
    generator = np.random.default_rng(3)
    values = noise((24, 24)) // 50
    content = bytearray(zlib.compress(filtered(values, np.full(24, 1)).tobytes()))
    for _ in range(300):
        changed = bytearray(content)
        changed[int(generator.integers(len(content)))] ^= 1 << int(generator.integers(8))
        found = short_way(png(bytes(changed), (24, 24)))
        if found is not None:
            assert (decoded(png(bytes(changed), (24, 24))) == found).all()
