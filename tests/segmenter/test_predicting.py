"""Predicting: any source, any size, lazily, and always at the image's own size."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from easyseg import Segmenter
from easyseg.errors import ConfigError, DataError, SampleError
from easyseg.io.images import read_image, write_image
from easyseg.prediction import sources
from easyseg.results import History, SemanticResult

Fit = Callable[..., tuple[Segmenter, History]]
Draw = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of five images of different sizes."""
    random = np.random.default_rng(0)
    for number, size in enumerate([(33, 97), (40, 40), (40, 40), (1, 1), (64, 20)]):
        write_image(tmp_path / "photos" / f"{number}.png", random.integers(0, 256, (*size, 3), dtype=np.uint8))
    return tmp_path / "photos"


def test_single_image_gives_a_result(fitted: Segmenter, photos: Path) -> None:
    """Not an iterator: a path, an array or a picture has one result, with image and path."""
    result = fitted.predict(photos / "0.png")
    assert isinstance(result, SemanticResult)
    assert result.path == photos / "0.png"
    assert result.mask.shape == (33, 97)
    assert result.mask.dtype == np.uint8
    assert np.array_equal(result.image, read_image(photos / "0.png"))
    assert result.class_map == fitted.class_map


def test_every_kind_of_source_gives_the_same_masks(fitted: Segmenter, photos: Path) -> None:
    """Folder, pattern, list of paths, of arrays, of pictures, and a generator."""
    paths = sorted(photos.iterdir())
    images = [read_image(path) for path in paths]
    expected = [fitted.predict(image, batch_size=2).mask for image in images]
    kinds: list[Any] = [
        photos,
        str(photos / "*.png"),
        paths,
        images,
        [Image.fromarray(image) for image in images],
        (image for image in images),
        [str(paths[0]), images[1], Image.fromarray(images[2]), photos / "3.png", str(photos / "4*")],
    ]
    for source in kinds:
        results = list(fitted.predict(source, batch_size=2))
        assert len(results) == 5
        for result, mask in zip(results, expected, strict=True):
            assert result.mask.shape == mask.shape
            assert (result.mask != mask).mean() <= 0.01  # other batches may round the last bit otherwise


def test_stack_of_images_is_several(fitted: Segmenter, arrays: Draw) -> None:
    """(N, H, W, 3) gives N results without a path."""
    images, _ = arrays(count=3)
    results = list(fitted.predict(images))
    assert [result.mask.shape for result in results] == [(40, 40)] * 3
    assert [result.path for result in results] == [None] * 3


@pytest.mark.parametrize("size_hw", [(1, 1), (33, 97), (1, 200), (40, 40)])
@pytest.mark.parametrize("settings", [{}, {"resize": "stretch"}, {"resize": "crop"}, {"resize": None}], ids=str)
def test_probabilities_and_mask_agree_at_the_original_size(
    models: Callable[..., Segmenter], settings: dict[str, Any], size_hw: tuple[int, int]
) -> None:
    """They add up to one over the classes, and the mask is the largest."""
    image = np.random.default_rng(1).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    result = models(**settings).predict(image)
    assert result.probabilities.shape == (4, *size_hw)
    assert result.probabilities.dtype == np.float32
    assert np.allclose(result.probabilities.sum(0), 1, atol=1e-5)
    assert np.array_equal(result.probabilities.argmax(0), result.mask)


@pytest.fixture(scope="module")
def models(fit: Fit, arrays: Draw) -> Callable[..., Segmenter]:
    """Return a function that trains a model with such settings once and remembers it."""
    known: dict[str, Segmenter] = {}

    def of(task: str = "multiclass", **settings: Any) -> Segmenter:
        key = repr((task, settings))
        if key not in known:
            data = arrays(task, count=4, channels=settings.get("in_channels", 3))
            known[key], _ = fit(data, epochs=1, **settings)
        return known[key]

    return of


@pytest.mark.parametrize(("task", "shape"), [("binary", (40, 40)), ("multilabel", (2, 40, 40))])
def test_threshold_decides_where_classes_do_not_exclude_each_other(
    models: Callable[..., Segmenter], arrays: Draw, task: str, shape: tuple[int, ...]
) -> None:
    """A pixel counts from that probability on."""
    segmenter = models(task)
    image = arrays(count=1)[0][0]
    for threshold in (0.3, 0.5, 0.6):
        result = segmenter.predict(image, threshold=threshold)
        assert result.mask.shape == shape
        wide = result.probabilities[0] if task == "binary" else result.probabilities
        clear = np.abs(wide - threshold) > 1e-5
        assert np.array_equal(result.mask[clear], (wide >= threshold)[clear].astype(np.uint8))
    assert segmenter.predict(image, threshold=0).mask.all()
    assert not segmenter.predict(image, threshold=1).mask.any()
    with pytest.raises(ConfigError, match=r"threshold=1\.5"):
        segmenter.predict(image, threshold=1.5)


@pytest.mark.parametrize(
    "change",
    [
        lambda rgb: rgb[..., 0],
        lambda rgb: rgb[..., :1],
        lambda rgb: np.dstack([rgb, rgb[..., :1]]),
        lambda rgb: Image.fromarray(rgb).convert("L"),
        lambda rgb: Image.fromarray(rgb).convert("RGBA"),
        lambda rgb: Image.fromarray(rgb).convert("P"),
        lambda rgb: Image.fromarray(rgb).convert("1"),
        lambda rgb: rgb[:, ::-1],
    ],
)
def test_any_form_of_an_image_is_taken(fitted: Segmenter, arrays: Draw, change: Callable[..., Any]) -> None:
    """Grey, alpha, palette, and arrays with odd strides; the source is left as it was."""
    rgb = arrays(count=1)[0][0]
    before = rgb.copy()
    result = fitted.predict(change(rgb))
    assert result.mask.shape == (40, 40)
    assert result.image is not None
    assert result.image.shape == (40, 40, 3)
    assert np.array_equal(rgb, before)


@pytest.mark.parametrize("channels", [1, 4])
def test_models_of_other_channels(models: Callable[..., Segmenter], photos: Path, arrays: Draw, channels: int) -> None:
    """Files are brought to the model's channels; arrays must have them."""
    segmenter = models(in_channels=channels)
    assert segmenter.predict(photos / "0.png").mask.shape == (33, 97)
    assert segmenter.predict(arrays(count=1, channels=channels)[0][0]).mask.shape == (40, 40)
    with pytest.raises(DataError, match=rf"has 3 channels, but the model takes {channels}"):
        segmenter.predict(arrays(count=1)[0][0])


def test_results_before_a_broken_file_come_first(fitted: Segmenter, photos: Path) -> None:
    """A folder whose last file is broken is predicted up to it; the error names the file."""
    broken = photos / "9.png"
    broken.write_bytes((photos / "0.png").read_bytes()[:100])
    results = fitted.predict(photos)
    assert [next(results).path.name for _ in range(5)] == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    with pytest.raises(SampleError, match=r"9\.png: the PNG file is cut off") as caught:
        next(results)
    assert caught.value.path == broken


def test_nothing_is_read_before_it_is_drawn(fitted: Segmenter) -> None:
    """Even the error of a missing folder waits for the first result of a collection."""
    results = fitted.predict(["missing.png"])
    with pytest.raises(DataError, match=r"no file or folder 'missing\.png'"):
        next(results)
    with pytest.raises(DataError, match=r"no file or folder 'missing\.png'"):
        fitted.predict("missing.png")


def test_memory_is_bounded(fitted: Segmenter) -> None:
    """From an endless source, only a few images are alive at a time, however many were predicted."""
    watched: list[weakref.ref[Any]] = []
    most = 0

    class Picture(np.ndarray):
        """An array that can be watched."""

    def endless() -> Iterator[np.ndarray]:
        for number in itertools.count():
            image = np.full((8, 8, 3), number % 256, np.uint8).view(Picture)
            watched.append(weakref.ref(image))
            yield image

    results = fitted.predict(endless(), batch_size=2)
    for _ in range(40):
        result = next(results)
        most = max(most, sum(one() is not None for one in watched))
    assert result.mask.shape == (8, 8)
    assert most <= 3 * 2 + 4  # ahead by two batches, one in the network, and what is in hand
    del result
    results.close()
    gc.collect()
    assert not any(one() is not None for one in watched)


def test_reading_goes_on_while_the_network_works(fitted: Segmenter, photos: Path, monkeypatch: Any) -> None:
    """Files are decoded in other threads than the caller's, ahead of the results."""
    threads: set[str] = set()
    read = sources.read_image

    def noted(path: Path, **wishes: Any) -> Any:
        threads.add(threading.current_thread().name)
        return read(path, **wishes)

    monkeypatch.setattr(sources, "read_image", noted)
    assert len(list(fitted.predict(photos))) == 5
    assert threads
    assert threading.main_thread().name not in threads


def test_threads_end_when_nobody_draws_any_more(fitted: Segmenter, photos: Path) -> None:
    """After a single image, and after an iterator that was left halfway."""
    before = threading.active_count()
    fitted.predict(photos / "0.png")
    results = fitted.predict(photos, batch_size=1)
    next(results)
    del results
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_results_do_not_keep_each_other_alive(fitted: Segmenter, arrays: Draw) -> None:
    """A result keeps its own logits, not those of the whole batch."""
    images, _ = arrays(count=4)
    results = list(fitted.predict(images, batch_size=4))
    kept = [cell for cell in gc.get_objects() if type(cell) is torch.Tensor and cell.shape == (4, 32, 32)]
    assert len(kept) == 4
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in kept)
    assert len(results) == 4


def test_predictions_do_not_depend_on_the_batch(fitted: Segmenter, arrays: Draw) -> None:
    """The same image, alone and among others, has the same probabilities up to rounding."""
    images, _ = arrays(count=5)
    alone = [fitted.predict(image).probabilities for image in images]
    together = [result.probabilities for result in fitted.predict(images, batch_size=4)]
    for one, other in zip(alone, together, strict=True):
        assert np.allclose(one, other, atol=0.02)


def test_random_numbers_and_modes_are_left_alone(fitted: Segmenter, photos: Path) -> None:
    """Prediction is no chance, and the network stays ready for evaluation."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tobytes()
    list(fitted.predict(photos))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tobytes() == numpy_state
    assert not fitted.network.training
    fitted.network.train()
    list(fitted.predict(photos))
    assert fitted.network.training
    fitted.network.eval()
