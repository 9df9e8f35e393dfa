"""Running a network over images of any size, and deciding on classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.errors import ModelError, SampleError
from easyseg.prediction.predictor import (
    Network,
    Predictor,
    Prepared,
    Stopwatch,
    decide,
    evaluation_mode,
    probabilities,
)
from easyseg.preprocessing import Preprocessing

CPU = Compute(torch.device("cpu"), torch.float32)


class Brightness(nn.Module):
    """Two classes, dark and bright, told apart by the mean of the channels; it notes the batches it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[int, ...]] = []
        self.dropout = nn.Dropout()

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(tuple(images.shape))
        bright = images.float().mean(1, keepdim=True) - 127.5
        return torch.cat([-bright, bright], dim=1)

    def infer(self, images: Tensor) -> Tensor:
        return self(images)


def predictor(network: Network, *, batch_size: int = 2, preprocessing: Preprocessing | None = None) -> Predictor:
    """Return a predictor on the CPU; without preprocessing, images keep their size."""
    return Predictor(
        network,
        preprocessing=preprocessing or Preprocessing(None, None, 3),
        compute=CPU,
        batch_size=batch_size,
    )


def noise(*sizes_hw: tuple[int, int]) -> list[np.ndarray]:
    """Return images of these sizes."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes_hw]


def test_logits_come_one_per_image_in_order_with_their_tags() -> None:
    """Batching changes neither order nor values."""
    network = Brightness()
    runner = predictor(network)
    images = noise(*[(3, 4)] * 5)
    found = list(runner.logits([runner.prepare(image, at) for at, image in enumerate(images)], Stopwatch()))
    assert [tag for _, tag, _ in found] == [0, 1, 2, 3, 4]
    for image, (logits, _, placement) in zip(images, found, strict=True):
        assert placement.original_hw == (3, 4)
        assert torch.equal(logits[1], torch.from_numpy(image).float().mean(2) - 127.5)
    assert network.batches == [(2, 3, 3, 4), (2, 3, 3, 4), (1, 3, 3, 4)]


def test_images_of_different_sizes_never_share_a_batch() -> None:
    """A batch ends where the size changes."""
    network = Brightness()
    runner = predictor(network, batch_size=3)
    sizes = [(3, 4), (3, 4), (5, 4), (3, 4), (3, 4), (3, 4), (3, 4)]
    found = list(runner.logits((runner.prepare(image, None) for image in noise(*sizes)), Stopwatch()))
    assert [tuple(logits.shape[1:]) for logits, _, _ in found] == sizes
    assert [shape[0] for shape in network.batches] == [2, 1, 3, 1]


@pytest.mark.parametrize("preprocessing", [Preprocessing((8, 8), "crop", 3), Preprocessing(None, None, 3)])
def test_large_images_are_fewer_in_a_batch(preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass holds no more pixels than a batch of the usual size, but one image at least; small ones are no more."""
    monkeypatch.setattr("easyseg.prediction.predictor.USUAL_HW", (8, 8))
    network = Brightness()
    runner = predictor(network, batch_size=4, preprocessing=preprocessing)
    sizes = [(8, 8)] * 4 + [(8, 16)] * 3 + [(40, 40)] * 2 + [(2, 2)] * 5
    found = list(runner.logits((runner.prepare(image, None) for image in noise(*sizes)), Stopwatch()))
    assert [tuple(logits.shape[1:]) for logits, _, _ in found] == sizes
    assert [shape[0] for shape in network.batches] == [4, 2, 1, 1, 1, 4, 1]
    large, small = (runner.prepare(image, None) for image in noise((8, 16), (2, 2)))
    assert (runner.depth(large), runner.depth(small)) == (4, 8)


def test_too_little_memory_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the network and on the way back: how large the images were, and what to type."""

    class Hungry(Brightness):
        def infer(self, images: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    image = noise((3, 5))[0]
    runner = predictor(Hungry())
    with pytest.raises(ModelError, match=r"2 images of 5 x 3 pixels.*Type batch_size=1.*device='cpu'"):
        list(runner.logits([runner.prepare(image, at) for at in range(2)], Stopwatch()))

    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Preprocessing, "logits_to_original", refuse)
    with pytest.raises(ModelError, match=r"1 image of 5 x 3 pixels.*Type batch_size=1"):
        runner.at_original_size(torch.zeros(2, 3, 5), runner.prepare(image, None).placement)


def test_network_is_asked_through_its_protocol() -> None:
    """A model whose `infer` is not its `forward` is asked by `infer`."""

    class Twice(Brightness):
        def infer(self, images: Tensor) -> Tensor:
            return 2 * self(images)

    image = noise((3, 5))[0]
    runner, twice = predictor(Brightness()), predictor(Twice())
    ((once_logits, _, _),) = runner.logits([runner.prepare(image, None)], Stopwatch())
    ((twice_logits, _, _),) = twice.logits([twice.prepare(image, None)], Stopwatch())
    assert torch.equal(twice_logits, 2 * once_logits)


def test_full_batch_does_not_wait_for_the_next_image() -> None:
    """With batches of one, a result needs its own image only."""
    runner = predictor(Brightness(), batch_size=1)
    drawn: list[int] = []

    def items() -> Iterator[Prepared[int]]:
        for at, image in enumerate(noise(*[(2, 2)] * 3)):
            drawn.append(at)
            yield runner.prepare(image, at)

    found = runner.logits(items(), Stopwatch())
    assert next(found)[1] == 0
    assert drawn == [0]


def test_images_before_a_broken_one_are_predicted() -> None:
    """An error in the middle of a batch does not cost the images before it."""
    runner = predictor(Brightness(), batch_size=4)

    def items() -> Iterator[Prepared[int]]:
        for at, image in enumerate(noise(*[(2, 2)] * 2)):
            yield runner.prepare(image, at)
        raise SampleError("third.png", "is broken")

    found = runner.logits(items(), Stopwatch())
    assert [next(found)[1], next(found)[1]] == [0, 1]
    with pytest.raises(SampleError, match=r"third\.png"):
        next(found)


@pytest.mark.parametrize("resize", ["pad", "stretch"])
@pytest.mark.parametrize("size_hw", [(1, 1), (33, 97), (8, 16), (100, 3)])
def test_way_there_and_back_keeps_the_size(resize: str, size_hw: tuple[int, int]) -> None:
    """Whatever the canvas, logits come back at the image's own size and place."""
    preprocessing = Preprocessing((8, 16), resize, 3)
    network = Brightness()
    runner = predictor(network, preprocessing=preprocessing)
    image = np.full((*size_hw, 3), 200, np.uint8)
    ((logits, _, placement),) = runner.logits([runner.prepare(image, None)], Stopwatch())
    assert network.batches == [(1, 3, 8, 16)]
    full = runner.at_original_size(logits, placement)
    assert full.shape == (2, *size_hw)
    assert torch.allclose(full[1], torch.full(size_hw, 72.5))


def test_network_is_run_without_gradients_and_in_the_format_asked_for() -> None:
    """Nothing is kept for a backward pass, and autocast is on where it should be."""
    convolution = nn.Conv2d(3, 2, 1)
    runner = Predictor(
        Pipeline(Floating(), convolution),
        preprocessing=Preprocessing(None, None, 3),
        compute=Compute(torch.device("cpu"), torch.bfloat16),
        batch_size=2,
    )
    ((logits, _, placement),) = runner.logits([runner.prepare(noise((2, 2))[0], None)], Stopwatch())
    assert not logits.requires_grad
    assert logits.dtype is torch.bfloat16
    assert runner.at_original_size(logits, placement).dtype is torch.float32


class Pipeline(nn.Sequential):
    """Modules one after the other."""

    def infer(self, images: Tensor) -> Tensor:
        return self(images)


class Floating(nn.Module):
    """Bytes to float32."""

    def forward(self, images: Tensor) -> Tensor:
        return images.float()


def test_most_probable_class_is_decided_on() -> None:
    """Multiclass: the largest logit; of equal ones the first, as argmax has it."""
    logits = torch.tensor([[[3.0, 1.0, 2.0]], [[1.0, 1.0, 5.0]], [[2.0, 0.0, 5.0]]])
    decided = decide(logits, task="multiclass")
    assert decided.dtype is torch.uint8
    assert decided.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.7, 1.0])
def test_threshold_is_one_of_probabilities(threshold: float) -> None:
    """Binary and multilabel: a pixel counts from the threshold on, 0 takes all and 1 none but certainty."""
    logits = torch.linspace(-6, 6, 101).reshape(1, 1, 101)
    expected = (logits.double().sigmoid() >= threshold).to(torch.uint8)
    assert torch.equal(decide(logits, task="binary", threshold=threshold), expected[0])
    both = torch.cat([logits, -logits])
    assert torch.equal(decide(both, task="multilabel", threshold=threshold)[0], expected[0])
    assert decide(both, task="multilabel", threshold=threshold).shape == (2, 1, 101)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_probabilities_agree_with_the_decision(task: str) -> None:
    """Multiclass ones add up to 1; their largest, or those above one half, are what was decided."""
    logits = torch.randn(1 if task == "binary" else 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 3
    found = probabilities(logits.bfloat16(), task=task)
    decided = decide(logits.bfloat16(), task=task)
    assert found.dtype is torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    if task == "multiclass":
        assert torch.allclose(found.sum(0), torch.ones(5, 6))
        assert torch.equal(found.argmax(0), decided.long())
    else:
        assert torch.equal((found >= 0.5).squeeze(0), decided.bool())


def test_modes_are_as_before() -> None:
    """Frozen parts in evaluation mode inside a network in training mode stay so, after an error, too."""
    network = Pipeline(nn.Dropout(), nn.BatchNorm2d(3))
    network[1].eval()
    with evaluation_mode(network):
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == [True, True, False]
    with pytest.raises(RuntimeError), evaluation_mode(network):
        raise RuntimeError
    assert [module.training for module in network.modules()] == [True, True, False]


def test_stopwatch_adds_up_by_name() -> None:
    """Blocks and waiting for items are measured; an iterator's end is not an error."""
    watch = Stopwatch()
    with watch.on("network"):
        pass
    assert list(watch.waiting(iter([1, 2]), "reading")) == [1, 2]
    assert watch.seconds.keys() == {"network", "reading"}
    assert all(seconds >= 0 for seconds in watch.seconds.values())


def test_seconds_are_a_plain_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    """They add up by what they were spent on, and print as what they are: `results.timing` is these."""
    ticks = iter([0.0, 1.5, 2.0, 2.25, 3.0, 7.0])
    monkeypatch.setattr("easyseg.prediction.predictor.time.perf_counter", lambda: next(ticks))
    watch = Stopwatch()
    for what in ("reading", "reading", "network"):
        with watch.on(what):
            pass
    assert repr(watch.seconds) == "{'reading': 1.75, 'network': 4.0}"
