"""Measuring a network: at the image's own size, repeatably, and leaving everything as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.errors import SampleError
from easyseg.prediction import scoring
from easyseg.prediction.scoring import AnnotatedImages, Evaluation
from easyseg.preprocessing import Preprocessing
from easyseg.structures import IGNORE_INDEX, ClassMap

CPU = Compute(torch.device("cpu"), torch.float32)
SIZES = [(4, 6), (4, 6), (5, 3), (4, 6)]


class Brightness(nn.Module):
    """Logits that say how bright a pixel is: one per class, the classes being levels of grey."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.levels = torch.linspace(0, 255, num_classes).view(1, -1, 1, 1) if num_classes > 1 else None

    def forward(self, images: Tensor) -> Tensor:
        grey = images.float().mean(1, keepdim=True)
        return grey - 127.5 if self.levels is None else -(grey - self.levels).abs()

    def infer(self, images: Tensor) -> Tensor:
        return self(images)


class Reader:
    """Grey images that show their masks, and how often each was asked for."""

    def __init__(self, num_classes: int = 3) -> None:
        random = np.random.default_rng(0)
        self.masks = [random.integers(0, num_classes, size).astype(np.uint8) for size in SIZES]
        self.scale = 255 // (num_classes - 1)
        self.asked: list[int] = []

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(index)
        image = np.repeat((self.masks[index] * self.scale)[..., None], 3, axis=2)
        return image, self.masks[index]


def evaluation(reader: Any, class_map: ClassMap, **settings: Any) -> Evaluation:
    """Return an evaluation of all images without preprocessing."""
    settings = {"preprocessing": Preprocessing(None, None, 3), "compute": CPU, "batch_size": 2} | settings
    return Evaluation(AnnotatedImages(len(SIZES), reader, class_map), **settings)


THREE = ClassMap("multiclass", ("a", "b", "c"))


def test_perfect_network_has_a_diagonal_matrix() -> None:
    """Each pixel counts once, for its image and for the whole."""
    reader = Reader()
    scored = evaluation(reader, THREE).score(Brightness(3))
    expected = torch.stack(
        [torch.bincount(torch.from_numpy(mask).flatten(), minlength=3).diag() for mask in reader.masks]
    )
    assert torch.equal(scored.image_counts, expected)
    assert torch.equal(scored.counts, expected.sum(0))
    assert scored.loss is None
    assert sorted(reader.asked) == [0, 1, 2, 3]
    assert scored.timing.keys() == {"reading", "network", "scoring"}
    assert 0 < sum(scored.timing.values()) <= scored.seconds


def test_mistakes_are_counted_as_truth_and_prediction() -> None:
    """Rows are the truth, columns the prediction."""
    truth, shown = np.array([[0, 0, 1, 2]], np.uint8), np.array([[0, 2, 2, 2]], np.uint8)
    image = np.repeat((shown * 127)[..., None], 3, axis=2)
    scored = Evaluation(
        AnnotatedImages(1, lambda _: (image, truth), THREE),
        preprocessing=Preprocessing(None, None, 3),
        compute=CPU,
        batch_size=2,
    ).score(Brightness(3))
    assert scored.counts.tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 1]]


def test_ignored_pixels_do_not_count() -> None:
    """Where the mask is 255, whatever is predicted is neither right nor wrong."""
    reader = Reader()
    for mask in reader.masks:
        mask[0] = IGNORE_INDEX
    scored = evaluation(reader, THREE).score(Brightness(3))
    assert int(scored.counts.sum()) == sum(int((mask != IGNORE_INDEX).sum()) for mask in reader.masks)
    assert int(scored.counts.diag().sum()) == int(scored.counts.sum())


@pytest.mark.parametrize("resize", ["pad", "stretch"])
def test_measured_at_the_original_size_whatever_the_canvas(resize: str) -> None:
    """Every pixel of every original mask is counted, none of the padding."""
    reader = Reader()
    settings = {"preprocessing": Preprocessing((16, 16), resize, 3)}
    scored = evaluation(reader, THREE, **settings).score(Brightness(3))
    assert scored.image_counts.sum((1, 2)).tolist() == [height * width for height, width in SIZES]


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_binary_masks_obey_the_threshold(threshold: float) -> None:
    """At 0 everything is the class, at 1 nothing is, between them what is bright."""
    reader = Reader(2)
    scored = evaluation(reader, ClassMap("binary", ("cell",)), threshold=threshold).score(Brightness(1))
    positives = sum(int(mask.sum()) for mask in reader.masks)
    pixels = sum(mask.size for mask in reader.masks)
    true, false = {0.0: (positives, pixels - positives), 0.5: (positives, 0), 1.0: (0, 0)}[threshold]
    assert scored.counts[0, 1, 1] == true
    assert scored.counts[0, 0, 1] == false


def test_multilabel_masks_are_counted_class_by_class() -> None:
    """Masks (H, W, classes) meet logits (classes, H, W)."""
    reader = Reader(2)

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        image, mask = reader(index)
        return image, np.stack([mask, 1 - mask], axis=-1)

    class Opposites(Brightness):
        def forward(self, images: Tensor) -> Tensor:
            bright = super().forward(images)
            return torch.cat([bright, -bright], dim=1)

    scored = evaluation(read, ClassMap("multilabel", ("bright", "dark"))).score(Opposites(1))
    assert scored.counts.shape == (2, 2, 2)
    assert int(scored.counts[:, 0, 1].sum() + scored.counts[:, 1, 0].sum()) == 0
    assert torch.equal(scored.counts[0].diag(), scored.counts[1].diag().flip(0))


def test_loss_is_the_mean_over_images_of_the_criterion() -> None:
    """It sees float32 logits and the target on the canvas, one image at a time."""
    reader = Reader()
    seen: list[tuple[torch.Size, torch.Size]] = []

    def criterion(logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        seen.append((logits.shape, target.shape))
        assert logits.dtype is torch.float32
        return {"area": target.numel() * torch.ones(()), "one": torch.ones(())}

    canvas = Preprocessing((8, 8), "pad", 3)
    assert evaluation(reader, THREE, preprocessing=canvas).score(Brightness(3), criterion=criterion).loss == 65
    assert seen == [((1, 3, 8, 8), (1, 8, 8))] * 4


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5])
def test_counts_leave_the_device_in_blocks(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """No more than a block of matrices waits there, however many images there are, and none gets lost."""
    expected = evaluation(Reader(), THREE).score(Brightness(3))
    sizes: list[int] = []
    stack = torch.stack

    def noted(tensors: Any, *arguments: Any, **settings: Any) -> Tensor:
        if tensors[0].dtype is torch.int64:
            sizes.append(len(tensors))
        return stack(tensors, *arguments, **settings)

    monkeypatch.setattr(scoring, "BLOCK", block)
    monkeypatch.setattr(torch, "stack", noted)
    scored = evaluation(Reader(), THREE).score(Brightness(3))
    assert torch.equal(scored.image_counts, expected.image_counts)
    assert torch.equal(scored.counts, expected.counts)
    assert max(sizes) <= block
    assert sum(sizes) == 4


def test_loss_needs_no_float64_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apple's GPU has none, so the values come to the CPU before they are widened."""
    fetched: list[int] = []
    cpu, double = Tensor.cpu, Tensor.double

    def noted(tensor: Tensor) -> Tensor:
        found = cpu(tensor)
        fetched.append(found.data_ptr())
        return found

    def strict(tensor: Tensor) -> Tensor:
        assert tensor.data_ptr() in fetched
        return double(tensor)

    monkeypatch.setattr(Tensor, "cpu", noted)
    monkeypatch.setattr(Tensor, "double", strict)
    scored = evaluation(Reader(), THREE).score(Brightness(3), criterion=lambda logits, _: {"one": logits.sum() * 0 + 1})
    assert scored.loss == 1


def test_kept_images_are_read_once() -> None:
    """With `keep`, a second evaluation reads nothing and finds the same; without, it reads again."""
    for keep, reads in ((True, 4), (False, 8)):
        reader = Reader()
        measure = evaluation(reader, THREE, keep=keep)
        first, second = measure.score(Brightness(3)), measure.score(Brightness(3))
        assert len(reader.asked) == reads
        assert torch.equal(first.image_counts, second.image_counts)


def test_mode_and_gradients_are_left_alone() -> None:
    """The network is measured in evaluation mode and goes on as it was."""

    class Watching(Brightness):
        seen: tuple[bool, bool] = (True, True)

        def forward(self, images: Tensor) -> Tensor:
            self.seen = (self.training, torch.is_grad_enabled())
            return super().forward(images)

    network = Watching(3).train()
    evaluation(Reader(), THREE).score(network)
    assert network.seen == (False, False)
    assert network.training
    assert torch.is_grad_enabled()


def test_broken_file_is_named_and_the_mode_restored() -> None:
    """An error while reading reaches the caller as it is."""

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == 2:
            raise SampleError("images/three.png", "the file is cut off")
        return Reader()(index)

    network = Brightness(3).train()
    with pytest.raises(SampleError, match=r"images/three\.png: the file is cut off"):
        evaluation(read, THREE).score(network)
    assert network.training
