"""The dataset that draws itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from easyseg.data.shapes import SHAPE_CLASSES, draw_shapes, write_shapes
from easyseg.io.images import read_image, read_mask
from easyseg.structures import IGNORE_INDEX


def test_images_and_masks_belong_together(tmp_path: Path) -> None:
    """Every split has as many masks as images, of the same names and sizes, and all count together."""
    folder = write_shapes(tmp_path / "shapes", count=10, size=32)
    images = sorted(folder.glob("*/images/*.png"))
    assert len(images) == 10
    assert {image.parts[-3] for image in images} == {"train", "val", "test"}
    for image in images:
        mask = read_mask(image.parents[1] / "masks" / image.name).values
        assert read_image(image).shape == (32, 32, 3)
        assert mask.shape == (32, 32)
        assert set(np.unique(mask)) <= {*range(len(SHAPE_CLASSES)), IGNORE_INDEX}
    assert (folder / "classes.txt").read_text().split() == list(SHAPE_CLASSES)


def test_every_class_and_the_void_outline_appear() -> None:
    """Over a few images all classes are drawn, each inside a void outline."""
    masks = [draw_shapes(64, np.random.default_rng(number))[1] for number in range(12)]
    values, counts = np.unique(np.stack(masks), return_counts=True)
    assert values.tolist() == [0, 1, 2, 3, IGNORE_INDEX]
    assert counts.min() > 0.01 * counts.sum()


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    """The same seed gives the same bytes, another seed other ones, and each image is another."""
    first, again, other = (write_shapes(tmp_path / str(i), count=3, size=24, seed=i // 2) for i in range(3))
    names = sorted(path.relative_to(first) for path in first.rglob("*.png"))
    assert len({(first / name).read_bytes() for name in names}) == len(names)
    assert all((first / name).read_bytes() == (again / name).read_bytes() for name in names)
    assert any((first / name).read_bytes() != (other / name).read_bytes() for name in names)


@pytest.mark.parametrize("count", [3, 4, 7, 40])
def test_each_split_gets_an_image(tmp_path: Path, count: int) -> None:
    """Even the smallest dataset has all three splits, and never more images than asked for."""
    folder = write_shapes(tmp_path, count=count, size=16)
    amounts = [len(list((folder / split / "images").iterdir())) for split in ("train", "val", "test")]
    assert min(amounts) >= 1
    assert sum(amounts) == count
