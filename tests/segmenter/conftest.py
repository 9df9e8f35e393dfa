"""Tiny drawn datasets, small networks, and segmenters fitted once for all tests here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors.torch import save

from easyseg import Segmenter
from easyseg.data.shapes import draw_shapes, write_shapes
from easyseg.io.images import write_image
from easyseg.results import History

Task = Literal["binary", "multiclass", "multilabel"]
Fit = Callable[..., tuple[Segmenter, History]]

IMAGE_SIZE = 32
"""Height and width the networks here see, in pixels."""


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """The networks here are so small that a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of four classes with splits of its own: 8 training, 2 validation, 2 test images of 40 x 40."""
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", count=12, size=40)


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a binary dataset without splits: 8 images of different sizes, masks of 0 and 255."""
    folder = tmp_path_factory.mktemp("data") / "cells"
    for number in range(8):
        image, mask = draw_shapes(36 + 4 * (number % 3), np.random.default_rng((1, number)))
        write_image(folder / "images" / f"cell_{number}.png", image)
        write_image(folder / "masks" / f"cell_{number}.png", (np.isin(mask, (1, 2, 3)) * 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def arrays() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return a function that draws images (N, H, W, C) and masks of a task."""

    def draw(
        task: Task = "multiclass", *, count: int = 8, size: int = 40, channels: int = 3, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        pairs = [draw_shapes(size, np.random.default_rng((seed, number))) for number in range(count)]
        images = np.stack([np.dstack([image, image])[..., :channels] for image, _ in pairs])
        masks = np.stack([np.where(mask == 255, 0, mask) for _, mask in pairs]).astype(np.uint8)
        if task == "binary":
            masks = (masks > 0).astype(np.uint8)
        if task == "multilabel":
            masks = np.stack([masks == 1, masks >= 1], axis=1).astype(np.uint8)
        return images, masks

    return draw


@pytest.fixture(scope="session")
def fit() -> Fit:
    """Return a function that trains a small network; its keywords are those of `Segmenter` and its `fit`."""

    def train(data: Any, validation: Any = None, **settings: Any) -> tuple[Segmenter, History]:
        names = ("classes", "image_size", "in_channels", "resize", "normalize", "precision", "seed", "encoder")
        model = {name: settings.pop(name) for name in names if name in settings}
        segmenter = Segmenter(
            "unet", model.pop("encoder", "test_resnet"), weights=None, **{"image_size": IMAGE_SIZE, **model}
        )
        usual = {"epochs": 2, "batch_size": 2, "run_dir": None, "verbose": False, "learning_rate": 0.01}
        return segmenter, segmenter.fit(data, validation, **{**usual, **settings})

    return train


@pytest.fixture(scope="session")
def fitted(fit: Fit, shapes: Path) -> Segmenter:
    """Return a model of four classes, trained for two epochs; not to be trained further."""
    return fit(shapes)[0]


@pytest.fixture(scope="session")
def run_dir(fit: Fit, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a training on `shapes` with other settings than the usual ones."""
    path = tmp_path_factory.mktemp("runs") / "first"
    fit(shapes, run_dir=path, ema=0.5, augment="strong", schedule="cosine", accumulate=2, loss="focal+tversky", seed=3)
    return path


@pytest.fixture(scope="session")
def weights_hash() -> Callable[[Segmenter], str]:
    """Return a function that gives the sha256 of all weights and buffers."""

    def of(segmenter: Segmenter) -> str:
        plain = {name: value.contiguous() for name, value in segmenter.network.state_dict().items()}
        return hashlib.sha256(save(plain)).hexdigest()

    return of


@pytest.fixture(scope="session")
def tree_hash() -> Callable[[Path], str]:
    """Return a function that gives the sha256 of names, contents and times of everything in a folder."""

    def of(folder: Path) -> str:
        digest = hashlib.sha256()
        for path in (folder, *sorted(folder.rglob("*"))):
            content = path.read_bytes() if path.is_file() else b""
            digest.update(repr((path.relative_to(folder).as_posix(), content, path.stat().st_mtime_ns)).encode())
        return digest.hexdigest()

    return of
