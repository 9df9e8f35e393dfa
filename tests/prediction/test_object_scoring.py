"""Measuring a detector: as COCO does, repeatably, on the images' own size, and leaving everything as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.errors import DataError, SampleError
from easyseg.geometry import RunLengths
from easyseg.metrics import TruthObjects
from easyseg.prediction.object_scoring import AnnotatedObjects, ObjectEvaluation, ScoredObjects
from easyseg.prediction.objects import ObjectLimits
from easyseg.preprocessing import Preprocessing
from easyseg.structures import RawObjects

CPU = Compute(torch.device("cpu"), torch.float32)
AS_THEY_ARE = Preprocessing(None, None, 3)
COUNT = 5


def box_mask(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """Return (H, W) bool, true within the box."""
    mask = np.zeros((height, width), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


class Reader:
    """Images whose first pixel says how many objects there are, and how often each was asked for."""

    def __init__(self, *, has_objects: bool = True) -> None:
        self.has_objects = has_objects
        self.asked: list[int] = []

    def __call__(self, index: int) -> tuple[np.ndarray, TruthObjects]:
        self.asked.append(index)
        count = index % 3 if self.has_objects else 0
        image = np.full((40, 60 + 4 * (index % 2), 3), 9, np.uint8)
        image[0, 0] = count
        boxes = [(4 + 18 * place, 6, 14 + 18 * place, 30) for place in range(count)]
        masks = tuple(RunLengths.from_mask(box_mask(*image.shape[:2], box)) for box in boxes)
        return image, TruthObjects(np.arange(count, dtype=np.int64), masks)


class Knowing(nn.Module):
    """Finds exactly the objects that `Reader` draws; or another class each time; and one that is not there."""

    def __init__(self, *, has_masks: bool = True, shift: int = 0) -> None:
        super().__init__()
        self.has_masks = has_masks
        self.shift = shift
        self.dropout = nn.Dropout()
        self.seen: list[tuple[bool, bool]] = []

    def infer(self, images: Tensor) -> list[RawObjects]:
        self.seen.append((self.training, torch.is_grad_enabled()))
        return [self._found(int(image[0, 0, 0])) for image in images]

    def _found(self, count: int) -> RawObjects:
        # half a pixel before the masks, as detectors learn them, see `pasting`
        boxes = [[3.4 + 18 * place, 5.4, 13.6 + 18 * place, 29.6] for place in range(count)]
        class_ids = [(place + self.shift) % 2 for place in range(count)]
        return RawObjects(
            torch.tensor(boxes).reshape(count, 4),
            torch.linspace(0.9, 0.8, count),
            torch.tensor(class_ids, dtype=torch.int64),
            torch.ones(count, 28, 28) if self.has_masks else None,
        )


def evaluation(reader: Any, *, has_masks: bool = True, **settings: Any) -> ObjectEvaluation:
    """Return an evaluation of all images without preprocessing."""
    settings = {"preprocessing": AS_THEY_ARE, "compute": CPU, "batch_size": 2} | settings
    return ObjectEvaluation(AnnotatedObjects(COUNT, reader, 2, has_masks), **settings)


def same(first: ScoredObjects, second: ScoredObjects) -> bool:
    """Tell whether both measured the same, to the last digit."""
    ours, theirs = first.scorer.to_arrays(), second.scorer.to_arrays()
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_perfect_detector_has_perfect_figures() -> None:
    """Every image counts, those without objects too, whatever their sizes."""
    reader = Reader()
    scored = evaluation(reader).score(Knowing())
    overall = scored.scorer.scores().overall
    assert (overall.ap, overall.ap50, overall.ar) == pytest.approx((1, 1, 1))
    assert scored.scorer.num_images == COUNT
    assert scored.scorer.kinds == ("mask", "box")
    assert sorted(reader.asked) == list(range(COUNT))
    assert scored.timing.keys() == {"reading", "network", "scoring"}
    assert sum(scored.timing.values()) == pytest.approx(scored.seconds)


def test_wrong_classes_are_wrong() -> None:
    """The diagnosis names it."""
    scored = evaluation(Reader()).score(Knowing(shift=1))
    assert scored.scorer.scores().overall.ap50 == 0
    assert {one.name: one.count for one in scored.scorer.diagnosis().mistakes}["classification"] == 4


@pytest.mark.parametrize("resize", ["pad", "stretch"])
def test_measured_at_the_original_size(resize: Any) -> None:
    """What is found on the canvas is compared with the true masks as they are."""

    class OnCanvas(Knowing):
        def infer(self, images: Tensor) -> list[RawObjects]:
            found = [self._found(2) for _ in images]
            for one in found:
                one.boxes.mul_(2)
                if resize == "pad":
                    one.boxes[:, [1, 3]] += 20
            return found

    def read(_: int) -> tuple[np.ndarray, TruthObjects]:
        return Reader()(2)

    preprocessing = Preprocessing((120 if resize == "pad" else 80, 120), resize, 3)
    scored = evaluation(read, preprocessing=preprocessing).score(OnCanvas())
    assert scored.scorer.scores("box").overall.ap50 == pytest.approx(1)
    assert scored.scorer.scores("mask").overall.ap50 == pytest.approx(1)


def test_boxes_only() -> None:
    """Detectors without masks are measured by their boxes."""
    scored = evaluation(Reader(), has_masks=False).score(Knowing(has_masks=False))
    assert scored.scorer.kinds == ("box",)
    assert scored.scorer.scores().overall.ap50 == pytest.approx(1)


def test_limits_decide_what_counts() -> None:
    """A threshold above all pixels leaves nothing; more detections than COCO's hundred raise the scorer's limit."""
    scored = evaluation(Reader(), limits=ObjectLimits(mask_threshold=1.0)).score(Knowing())
    assert scored.scorer.scores().overall.ar == 0
    for most, expected in ((10, 100), (300, 300)):
        scored = evaluation(Reader(), limits=ObjectLimits(max_detections=most)).score(Knowing())
        assert scored.scorer.max_detections == expected


def test_no_object_anywhere() -> None:
    """There is nothing to measure, and nothing to fail."""
    scored = evaluation(Reader(has_objects=False)).score(Knowing())
    assert np.isnan(scored.scorer.scores().overall.ap)
    assert scored.scorer.num_images == COUNT


@pytest.mark.parametrize(("threads", "batch_size"), [(1, 1), (4, 3), (2, 10)])
def test_threads_and_batches_change_nothing(threads: int, batch_size: int) -> None:
    """In whatever order images are compared, the tables are the same."""
    expected = evaluation(Reader()).score(Knowing())
    assert same(evaluation(Reader(), threads=threads, batch_size=batch_size).score(Knowing()), expected)


def test_kept_images_are_read_once_and_their_masks_are_run_lengths() -> None:
    """With `keep`, a second evaluation reads nothing and finds the same; without, it reads again."""
    for keep, reads in ((True, COUNT), (False, 2 * COUNT)):
        reader = Reader()
        measure = evaluation(reader, keep=keep)
        first, second = measure.score(Knowing()), measure.score(Knowing())
        assert len(reader.asked) == reads
        assert same(first, second)


def test_mode_and_gradients_are_left_alone() -> None:
    """The network is measured in evaluation mode and goes on as it was."""
    network = Knowing().train()
    evaluation(Reader()).score(network)
    assert set(network.seen) == {(False, False)}
    assert network.training
    assert network.dropout.training
    assert torch.is_grad_enabled()


def test_polled_after_every_image() -> None:
    """So that an evaluation can be broken off; the network's mode is restored then, too."""
    polls: list[int] = []
    evaluation(Reader()).score(Knowing(), poll=lambda: polls.append(0))
    assert len(polls) == COUNT

    def stop() -> None:
        raise KeyboardInterrupt

    network = Knowing().train()
    with pytest.raises(KeyboardInterrupt):
        evaluation(Reader()).score(network, poll=stop)
    assert network.training
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("easyseg-read")]


def test_broken_file_is_named_and_the_mode_restored() -> None:
    """An error while reading reaches the caller as it is."""

    def read(index: int) -> tuple[np.ndarray, TruthObjects]:
        if index == 2:
            raise SampleError("images/three.png", "the file is cut off")
        return Reader()(index)

    network = Knowing().train()
    with pytest.raises(SampleError, match=r"images/three\.png: the file is cut off"):
        evaluation(read).score(network)
    assert network.training


def test_masks_of_another_size_are_refused() -> None:
    """Even where nothing is found that they could be compared with."""

    def read(index: int) -> tuple[np.ndarray, TruthObjects]:
        image, truth = Reader()(index)
        return image[:, :-1], truth

    with pytest.raises(DataError, match=r"objects of image 1 have masks of \(40, 64\) .* the image has \(40, 63\)"):
        evaluation(read).score(Knowing())


def test_class_ids_out_of_range_are_refused() -> None:
    """Wherever the comparing runs, its errors arrive."""

    def read(index: int) -> tuple[np.ndarray, TruthObjects]:
        image, truth = Reader()(index)
        truth.class_ids[:] = 7
        return image, truth

    with pytest.raises(DataError, match="class id 7; expected 0 to 1"):
        evaluation(read).score(Knowing())


class Together:
    """Threads in the place of processes: each tells all others what it has."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size, timeout=60)
        self.told: list[Any] = [None] * size

    def run(self, work: Callable[[Any], Any]) -> list[Any]:
        """Do the work once for each, at the same time."""
        results: list[Any] = [None] * self.size

        def go(rank: int) -> None:
            results[rank] = work(Member(self, rank))

        threads = [threading.Thread(target=go, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


class Member:
    """One of them."""

    def __init__(self, together: Together, rank: int) -> None:
        self.together, self.rank, self.size = together, rank, together.size

    def added(self, part: Tensor) -> Tensor:
        raise AssertionError("nothing is added up here")

    def stacked(self, rows: Tensor) -> Tensor:
        """Return all rows below each other; truth values cannot travel."""
        assert rows.dtype is not torch.bool
        self.together.told[self.rank] = rows
        self.together.barrier.wait()
        found = torch.cat(self.together.told)
        self.together.barrier.wait()
        return found


@pytest.mark.parametrize("size", [1, 2, 4])
def test_processes_share_the_images_and_all_know_everything(size: int) -> None:
    """Figures and diagnosis are those of one process; each is polled equally often, one without images too."""

    def measured(sharing: Any) -> tuple[ScoredObjects, int, int]:
        reader, polls = Reader(), []
        scored = evaluation(reader, sharing=sharing).score(Knowing(), poll=lambda: polls.append(0))
        return scored, len(reader.asked), len(polls)

    alone, _, _ = measured(None)
    results = Together(size).run(measured)
    for scored, _, _ in results:
        assert same(scored, alone)
        assert scored.scorer.diagnosis() == alone.scorer.diagnosis()
    assert sum(read for _, read, _ in results) == COUNT
    assert len({polls for _, _, polls in results}) == 1
