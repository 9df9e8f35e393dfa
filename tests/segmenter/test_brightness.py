"""Images of other numbers than bytes and of many channels, and normalisation by the dataset, from end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiff_files import tiff_bytes

from easyseg import Segmenter, callbacks, load_dataset
from easyseg.config import ModelSettings
from easyseg.data.shapes import draw_shapes
from easyseg.data.statistics import channel_statistics
from easyseg.errors import CheckpointError, ConfigError, DataError, SampleError
from easyseg.io.checkpoints import load_checkpoint, save_checkpoint
from easyseg.io.images import write_image
from easyseg.segmenter import fitting
from easyseg.segmenter.building import build_model


def _write(folder: Path, change: Callable[[np.ndarray], np.ndarray], count: int = 8) -> Path:
    """Draw shapes, change the pixels (H, W, 3) and save them as TIFF, with masks beside."""
    for number in range(count):
        image, mask = draw_shapes(40, np.random.default_rng((7, number)))
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "images" / f"{number}.tif").write_bytes(tiff_bytes(change(image)))
        write_image(folder / "masks" / f"{number}.png", np.where(mask == 255, 0, mask).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def bytes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of 8-bit TIFF files."""
    return _write(tmp_path_factory.mktemp("data") / "bytes", lambda image: image)


@pytest.fixture(scope="module")
def deep_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same pictures in 12 of 16 bits, from 100 to 4095."""
    return _write(tmp_path_factory.mktemp("data") / "deep", _twelve_bits)


def _twelve_bits(image: np.ndarray) -> np.ndarray:
    return (100 + image.astype(np.float64) * 3995 / 255).astype(np.uint16)


def _sixteen_bands(image: np.ndarray) -> np.ndarray:
    scale = np.float32(10) ** np.arange(16, dtype=np.float32)
    return np.take(image, np.arange(16) % 3, axis=2).astype(np.float32) * scale


@pytest.fixture(scope="module")
def deep(fit: Any, deep_folder: Path) -> Segmenter:
    """Return a model trained on 12-bit images."""
    return fit(deep_folder)[0]


def test_the_range_goes_with_the_model(deep: Segmenter, deep_folder: Path, tmp_path: Path) -> None:
    """A model saved and loaded scales as it was trained: the same masks, the same report, the range in its header."""
    value_range = load_dataset(deep_folder).value_range
    assert value_range is not None
    path = deep.save(tmp_path / "deep.safetensors")
    header = load_checkpoint(path).header["preprocessing"]["value_range"]
    assert header == value_range.to_dict()
    loaded = Segmenter.load(path)
    image = deep_folder / "images" / "3.tif"
    first, second = deep.predict(image), loaded.predict(image)
    assert np.array_equal(first.probabilities, second.probabilities)
    assert first.image.max() == 255
    assert loaded.evaluate(deep_folder).mean_iou == deep.evaluate(deep_folder).mean_iou


def test_prediction_scales_as_training_did(deep: Segmenter, deep_folder: Path) -> None:
    """A file, an array of its numbers, and the bytes that training saw give one and the same result."""
    dataset = load_dataset(deep_folder)
    values = _twelve_bits(draw_shapes(40, np.random.default_rng((7, 2)))[0])
    by_file = deep.predict(deep_folder / "images" / "2.tif")
    assert np.array_equal(deep.predict(values).probabilities, by_file.probabilities)
    assert np.array_equal(deep.predict(dataset.image(2)).probabilities, by_file.probabilities)


def test_images_of_another_kind_are_told(
    deep: Segmenter, fitted: Segmenter, bytes_folder: Path, deep_folder: Path
) -> None:
    """A model of 12-bit numbers refuses files of bytes, a model of bytes those of 12 bits; nothing is read black."""
    with pytest.raises(SampleError, match=r"2\.tif: the image holds bytes .* was measured on integers"):
        deep.predict(bytes_folder / "images" / "2.tif")
    with pytest.raises(SampleError, match="the image holds bytes"):
        deep.evaluate(bytes_folder)
    with pytest.raises(SampleError, match=r"2\.tif: its 16-bit values reach up to \d+ only"):
        fitted.predict(deep_folder / "images" / "2.tif")
    with pytest.raises(DataError, match=r"hold other numbers than bytes \(1\d\d \.\. 3\d\d\d\).*trained on bytes"):
        fitted.evaluate(deep_folder)
    with pytest.raises(DataError, match="hold other numbers than bytes"):
        fitted.fit(deep_folder, epochs=1, run_dir=None)


def test_deep_images_train_as_bytes_do(fit: Any, deep_folder: Path, bytes_folder: Path) -> None:
    """With the range they were made with, 12-bit images train to the very weights of the 8-bit ones."""
    scaled = load_dataset(deep_folder, value_range=(100, 4095))
    plain = load_dataset(bytes_folder)
    for index in range(len(plain)):
        assert np.abs(scaled.image(index).astype(int) - plain.image(index)).max() == 0
    first, second = fit(scaled)[1], fit(plain)[1]
    assert first["loss"] == second["loss"]


def test_sixteen_bands_of_floats_train(fit: Any, tmp_path: Path) -> None:
    """Images of sixteen bands, of sizes from 255 to 10^17, train, are measured, predicted and come back from a file."""
    folder = _write(tmp_path / "bands", _sixteen_bands)
    segmenter, history = fit(folder, in_channels=16, normalize="dataset", run_dir=tmp_path / "run")
    assert all(np.isfinite(history["loss"]))
    image = folder / "images" / "1.tif"
    result = segmenter.predict(image)
    assert result.image.shape == (40, 40, 16)
    assert (result.image.reshape(-1, 16).max(axis=0) > 250).all()
    assert result.plot().shape[2] == 3
    loaded = Segmenter.load(segmenter.save(tmp_path / "bands.safetensors"))
    assert np.array_equal(loaded.predict(image).probabilities, result.probabilities)
    with pytest.raises(SampleError, match=r"has 16 channels, 3 are needed\. Type in_channels=16"):
        fit(folder)


def test_normalisation_by_the_dataset(fit: Any, bytes_folder: Path, tmp_path: Path) -> None:
    """Mean and deviation are those of the training images, and are part of the model file."""
    segmenter, _ = fit(bytes_folder, normalize="dataset")
    statistics = channel_statistics(load_dataset(bytes_folder).split("train"))
    network = segmenter.network
    assert np.allclose(network.pixel_mean.flatten() * 255, statistics.means, rtol=1e-6)
    assert np.allclose(network.pixel_std.flatten() * 255, statistics.deviations, rtol=1e-6)
    loaded = Segmenter.load(segmenter.save(tmp_path / "model.safetensors"))
    assert torch.equal(loaded.network.pixel_mean, network.pixel_mean)
    assert torch.equal(loaded.network.pixel_std, network.pixel_std)
    assert loaded.settings.normalize == "dataset"
    image = bytes_folder / "images" / "1.tif"
    assert np.array_equal(loaded.predict(image).probabilities, segmenter.predict(image).probabilities)


def test_training_further_keeps_the_normalisation(fit: Any, bytes_folder: Path, deep_folder: Path) -> None:
    """A second `fit` on other images goes on with the figures that the weights know."""
    segmenter, _ = fit(bytes_folder, normalize="dataset")
    before = segmenter.network.pixel_mean.clone()
    dataset = load_dataset(bytes_folder)
    brighter = [(dataset.image(at) // 2 + 100, dataset.mask(at)) for at in range(len(dataset))]
    segmenter.fit(brighter, epochs=1, batch_size=2, run_dir=None, verbose=False)
    assert torch.equal(segmenter.network.pixel_mean, before)


def test_a_channel_without_deviation_is_left_alone(fit: Any, tmp_path: Path) -> None:
    """A band that is the same everywhere is divided by one level, not by 0."""
    folder = _write(tmp_path / "flat", lambda image: np.dstack([image[..., :1], np.full((40, 40, 1), 9, np.uint8)]))
    segmenter, history = fit(folder, in_channels=2, normalize="dataset")
    assert segmenter.network.pixel_std.flatten()[1] * 255 == pytest.approx(1)
    assert all(np.isfinite(history["loss"]))


def test_the_default_is_the_encoders(fit: Any, bytes_folder: Path) -> None:
    """Without a word the network normalises as its encoder's weights were trained."""
    segmenter, _ = fit(bytes_folder)
    settings = ModelSettings.of({"model": "unet", "encoder": "test_resnet", "weights": None})
    plain = build_model(settings, num_classes=4, weights=None)
    assert torch.equal(segmenter.network.pixel_mean, plain.pixel_mean)


class _Break(callbacks.Callback):
    """Breaks training off after an epoch, as Ctrl-C would."""

    def __init__(self, after: int | None) -> None:
        self._after = after

    def epoch_ended(self, epoch: callbacks.EpochReport) -> None:
        if epoch.epoch == self._after:
            raise KeyboardInterrupt


def test_resume_ends_with_the_same_weights(
    fit: Any,
    deep_folder: Path,
    tmp_path: Path,
    weights_hash: Callable[[Segmenter], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interrupted training on scaled and normalised images goes on to the very same weights; with another range not.

    Neither curves nor a report are drawn.
    """
    monkeypatch.setattr(fitting, "finish_run", lambda *arguments, **settings: None)
    settings = {"normalize": "dataset", "epochs": 3}
    straight, _ = fit(deep_folder, run_dir=tmp_path / "straight", **settings)
    with pytest.raises(KeyboardInterrupt):
        fit(deep_folder, run_dir=tmp_path / "broken", callbacks=_Break(after=2), **settings)
    again = {"resume": True, "callbacks": _Break(after=None)}
    with pytest.raises(ConfigError, match=r"the training data was"):
        fit(load_dataset(deep_folder, value_range=(0, 8191)), run_dir=tmp_path / "broken", **again, **settings)
    resumed, history = fit(deep_folder, run_dir=tmp_path / "broken", **again, **settings)
    assert len(history.rows) == 3
    assert weights_hash(resumed) == weights_hash(straight)


def test_damaged_ranges_are_refused(deep: Segmenter, tmp_path: Path) -> None:
    """A header whose range makes no sense is no model; one without a range is of bytes."""
    checkpoint = load_checkpoint(deep.save(tmp_path / "deep.safetensors"))
    for damage in ({"lows": [1], "highs": [0], "numbers": None}, {"lows": 3}, [1, 2], "x"):
        header = {**checkpoint.header, "preprocessing": {**checkpoint.header["preprocessing"], "value_range": damage}}
        path = save_checkpoint(tmp_path / "damaged.safetensors", checkpoint.tensors, header)
        with pytest.raises(CheckpointError, match="preprocessing"):
            Segmenter.load(path)
    plain = {name: value for name, value in checkpoint.header["preprocessing"].items() if name != "value_range"}
    path = save_checkpoint(
        tmp_path / "old.safetensors", checkpoint.tensors, {**checkpoint.header, "preprocessing": plain}
    )
    assert Segmenter.load(path).predict(np.zeros((40, 40, 3), np.uint8)).mask.shape == (40, 40)
