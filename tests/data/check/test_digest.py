"""What one pass keeps of each file, and its way between processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easyseg.data.check import digest as module
from easyseg.data.check.digest import (
    MOST_VALUES,
    ImageDigest,
    MaskDigest,
    digest_images,
    digest_masks,
    from_bytes,
    join_images,
    join_masks,
    to_bytes,
)
from easyseg.io.images import write_image


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two sound pictures and, between them, one that is cut off."""
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        write_image(path, generator.integers(0, 5, (12, 20), dtype=np.uint8))
    paths[1].write_bytes(paths[1].read_bytes()[:60])
    return paths


def equal(first: ImageDigest | MaskDigest, second: ImageDigest | MaskDigest) -> bool:
    """Tell whether two digests hold the same."""
    for part in dataclasses.fields(first):
        one, other = getattr(first, part.name), getattr(second, part.name)
        same = np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
        if not same:
            return False
    return True


def test_unreadable_files_have_rows_of_zeros(files: list[Path]) -> None:
    """Every file has its row, and what cannot be read is told beside."""
    images, masks = digest_images(files), digest_masks(files)
    for digest in (images, masks):
        assert len(digest) == 3
        assert digest.orientation.tolist() == [1, 0, 1]
        assert digest.size_hw.tolist() == [[12, 20], [0, 0], [12, 20]]
        (trouble,) = digest.troubles
        assert (trouble.row, trouble.is_cut_off) == (1, True)
        assert "cut off" in trouble.problem
    assert set(masks.rows.tolist()) == {0, 2}


def test_values_are_counted(tmp_path: Path) -> None:
    """Each value of each mask has its pixels, in ascending order of mask and value."""
    write_image(tmp_path / "a.png", np.array([[0, 0, 7]], np.uint8))
    write_image(tmp_path / "b.png", np.array([[300, 2, 2]], np.uint16))
    masks = digest_masks([tmp_path / "a.png", tmp_path / "b.png"])
    assert masks.rows.tolist() == [0, 0, 1, 1]
    assert masks.values.tolist() == [0, 7, 2, 300]
    assert masks.counts.tolist() == [2, 1, 2, 1]


@pytest.mark.parametrize("most", [0, 2**24], ids=["many pixels", "few pixels"])
def test_bytes_are_counted_exactly(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Both ways of counting find every value, in arrays of any size and layout."""
    monkeypatch.setattr(module, "_FLOATS_COUNT_TO", most)
    generator = np.random.default_rng(0)
    for size_hw in ((1, 1), (1, 300), (300, 1), (61, 67)):
        values = generator.integers(0, 256, size_hw, dtype=np.uint8)
        for seen in (values, values.T, values[::-1, ::-1], values[::2]):
            assert (module._byte_counts(seen) == [(seen == value).sum() for value in range(256)]).all()


def test_masks_of_bytes_and_others_keep_their_order(tmp_path: Path) -> None:
    """Values are told row by row, whichever way they were counted."""
    grey, colored = np.array([[3, 3, 9]], np.uint8), np.array([[[1, 0, 0], [1, 0, 0], [0, 0, 2]]], np.uint8)
    wide, gone = np.array([[700, 2, 2]], np.uint16), tmp_path / "gone.png"
    masks = digest_masks([grey, colored, gone, wide, grey[:, :1]])
    assert masks.rows.tolist() == [0, 0, 1, 1, 3, 3, 4]
    assert masks.values.tolist() == [3, 9, 2, 1 << 16, 2, 700, 3]
    assert masks.counts.tolist() == [2, 1, 1, 2, 2, 1, 1]
    assert masks.num_values.tolist() == [2, 2, 0, 2, 1]


def test_counts_beyond_what_floats_hold() -> None:
    """In float32, 2**24 + 1 is 2**24."""
    assert int(module._byte_counts(np.zeros((1, 2**24 + 1), np.uint8))[0]) == 2**24 + 1


def test_colours_and_palettes_are_counted_at_the_edges_too() -> None:
    """Of colours, the pixels at the edges say which one is around everything."""
    mask = np.zeros((4, 4, 3), np.uint8)
    mask[1:3, 1:3] = (1, 2, 3)
    digest = digest_masks([mask])
    assert digest.values.tolist() == [0, 0x010203]
    assert digest.counts.tolist() == [12, 4]
    assert digest.border.tolist() == [12, 0]


def test_a_mask_of_very_many_values_keeps_the_frequent_ones() -> None:
    """The memory is bounded however many values there are; their number is kept."""
    values = np.arange(4000, dtype=np.uint16).reshape(40, 100)
    values[0] = 3999
    digest = digest_masks([values])
    assert digest.num_values[0] == 3900
    assert len(digest.values) == MOST_VALUES
    assert digest.values[-1] == 3999


def test_arrays_are_digested_like_files(tmp_path: Path) -> None:
    """Pixels in memory give what the same pixels in a file give."""
    image = np.random.default_rng(2).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    from_array, from_file = digest_images([image]), digest_images([tmp_path / "a.png"])
    assert from_array.size_hw.tolist() == from_file.size_hw.tolist()
    assert np.allclose(from_array.coefficients, from_file.coefficients, atol=1)
    assert np.abs(from_array.span.astype(int) - from_file.span).max() <= 1
    assert digest_images([image[..., 0]]).size_hw.tolist() == [[30, 40]]
    bad = digest_masks([np.zeros((3, 3), np.float32) + 0.5])
    assert not bad.troubles[0].is_cut_off


def test_digests_travel_as_bytes(files: list[Path], tmp_path: Path) -> None:
    """What goes to bytes comes back the same, palettes and troubles included."""
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([5, 6, 7, 8, 9, 10])
    picture.save(tmp_path / "palette.png")
    images, masks = digest_images(files), digest_masks([*files, tmp_path / "palette.png"])
    assert masks.palettes[3][1] == (8, 9, 10)
    images_again, masks_again = from_bytes(to_bytes(images, masks))
    assert equal(images, images_again)
    assert equal(masks, masks_again)


def test_digests_are_joined_in_order(files: list[Path]) -> None:
    """Digests of parts make the digest of the whole."""
    assert equal(join_images([digest_images(files[:2]), digest_images(files[2:])]), digest_images(files))
    assert equal(join_masks([digest_masks(files[:2]), digest_masks(files[2:])]), digest_masks(files))
