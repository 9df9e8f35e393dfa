"""easyseg's instance metrics against torchmetrics and faster-coco-eval: time and peak memory, on the same masks.

    python benchmarks/instance_metrics.py [--images 500] [--rounds 3] [--only easyseg torchmetrics]

Every image has 640x480 pixels, 100 true and 100 predicted masks of ten classes. Both sides start from the dense masks
of one image at a time; drawing them is not counted. torchmetrics (with pycocotools, its default backend) is no
dependency of easyseg; install it to compare. Each measurement runs in a process of its own, so that its peak memory,
imports included, is its own; rounds alternate, and the ratio is the median over rounds.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

HEIGHT, WIDTH, NUM_OBJECTS, NUM_CLASSES = 480, 640, 100, 10


class Picture:
    """What one image truly holds and what was found in it, as dense masks."""

    def __init__(self, number: int) -> None:
        generator = np.random.default_rng(number)
        centers = generator.integers(0, (WIDTH, HEIGHT), (NUM_OBJECTS, 2))
        axes = generator.integers(5, 40, (NUM_OBJECTS, 2))
        angles = generator.integers(0, 180, NUM_OBJECTS)
        self.truth = _ellipses(centers, axes, angles)
        self.truth_classes = generator.integers(0, NUM_CLASSES, NUM_OBJECTS)
        self.predicted = _ellipses(centers + generator.integers(-4, 5, (NUM_OBJECTS, 2)), axes, angles)
        is_confused = generator.random(NUM_OBJECTS) < 0.2
        self.classes = np.where(is_confused, generator.integers(0, NUM_CLASSES, NUM_OBJECTS), self.truth_classes)
        self.scores = generator.random(NUM_OBJECTS)


def _ellipses(centers: np.ndarray, axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    masks = np.zeros((len(centers), HEIGHT, WIDTH), np.uint8)
    for mask, center, axis, angle in zip(masks, centers.tolist(), axes.tolist(), angles.tolist(), strict=True):
        cv2.ellipse(mask, center, axis, angle, 0, 360, 1, -1)
    return masks.astype(bool)


class WithEasyseg:
    """Masks, boxes and the diagnosis: more than is compared."""

    def __init__(self) -> None:
        from easyseg.metrics.instance import InstanceScorer

        self.scorer = InstanceScorer(NUM_CLASSES)

    def add(self, number: int, picture: Picture) -> None:
        """Take the masks of one image."""
        from easyseg.geometry import RunLengths
        from easyseg.metrics.instance import PredictedObjects, TruthObjects

        truth = TruthObjects(picture.truth_classes, tuple(map(RunLengths.from_mask, picture.truth)))
        masks = tuple(map(RunLengths.from_mask, picture.predicted))
        self.scorer.add(number, truth, PredictedObjects(picture.classes, picture.scores, masks))

    def figures(self) -> list[float]:
        """Return AP, AP50 and AR with at most 100 predictions."""
        self.scorer.diagnosis()
        self.scorer.scores("box")
        overall = self.scorer.scores("mask").overall
        return [overall.ap, overall.ap50, overall.ar]


class WithTorchmetrics:
    """Masks only, with the default backend."""

    def __init__(self) -> None:
        from torchmetrics.detection import MeanAveragePrecision

        self.metric = MeanAveragePrecision(iou_type="segm", class_metrics=True)

    def add(self, number: int, picture: Picture) -> None:
        """Take the masks of one image."""
        import torch

        predicted = {"masks": picture.predicted, "labels": picture.classes, "scores": picture.scores.astype(np.float32)}
        truth = {"masks": picture.truth, "labels": picture.truth_classes}
        sides = [[{name: torch.from_numpy(array) for name, array in side.items()}] for side in (predicted, truth)]
        self.metric.update(*sides)

    def figures(self) -> list[float]:
        """Return AP, AP50 and AR with at most 100 predictions."""
        found = self.metric.compute()
        return [float(found[name]) for name in ("map", "map_50", "mar_100")]


class WithFasterCocoEval:
    """Masks only, all kept as COCO's dictionaries until the end."""

    def __init__(self) -> None:
        categories = [{"id": number, "name": str(number)} for number in range(NUM_CLASSES)]
        self.sides: list[dict[str, Any]] = [
            {"images": [], "annotations": [], "categories": categories} for _ in range(2)
        ]

    def add(self, number: int, picture: Picture) -> None:
        """Take the masks of one image."""
        from faster_coco_eval.core import mask as coder

        sides = ((picture.truth, picture.truth_classes), (picture.predicted, picture.classes))
        for side, (masks, class_ids) in zip(self.sides, sides, strict=True):
            side["images"].append({"id": number, "height": HEIGHT, "width": WIDTH})
            for place, mask in enumerate(masks):
                code = coder.encode(np.asfortranarray(mask.view(np.uint8)))
                annotation = {"id": len(side["annotations"]) + 1, "image_id": number, "iscrowd": 0}
                annotation |= {"category_id": int(class_ids[place]), "segmentation": code, "area": coder.area(code)}
                side["annotations"].append(annotation | {"score": float(picture.scores[place])})

    def figures(self) -> list[float]:
        """Return AP, AP50 and AR with at most 100 predictions."""
        from faster_coco_eval.core.coco import COCO
        from faster_coco_eval.core.faster_eval_api import COCOeval_faster

        evaluation = COCOeval_faster(*map(COCO, self.sides), "segm")
        evaluation.run()
        return [float(evaluation.stats[place]) for place in (0, 1, 8)]


CONTESTANTS: dict[str, Callable[[], Any]] = {
    "easyseg": WithEasyseg,
    "torchmetrics": WithTorchmetrics,
    "faster-coco-eval": WithFasterCocoEval,
}


def main() -> None:
    """Measure all in turn, round by round, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--measure", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(CONTESTANTS[options.measure], options.images)))
        return
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in options.only}
    for number in range(1, options.rounds + 1):
        for name in options.only:
            command = [sys.executable, __file__, "--measure", name, "--images", str(options.images)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rounds[name].append(found)
            words = "  ".join(f"{what} {value}" for what, value in found.items())
            print(f"round {number}  {name:17} {words}", flush=True)
    first = options.only[0]
    for name in options.only[1:]:
        for what in ("seconds", "processor seconds"):
            ratios = [theirs[what] / ours[what] for theirs, ours in zip(rounds[name], rounds[first], strict=True)]
            print(
                f"{name} / {first}, {what}: median {statistics.median(ratios):.2f} "
                f"(from {min(ratios):.2f} to {max(ratios):.2f})"
            )


def measure(contestant: Callable[[], Any], num_images: int) -> dict[str, Any]:
    """Return wall and processor seconds, peak memory, and the figures found."""
    meter = contestant()
    meter.add(0, Picture(0))  # imports and first calls are not counted
    wall = processor = 0.0
    for number in _counted(num_images):
        picture = Picture(number)
        begun, begun_processor = time.perf_counter(), time.process_time()
        meter.add(number, picture)
        wall += time.perf_counter() - begun
        processor += time.process_time() - begun_processor
    begun, begun_processor = time.perf_counter(), time.process_time()
    figures = meter.figures()
    finishing = time.perf_counter() - begun
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": round(wall + finishing, 2),
        "of which at the end": round(finishing, 2),
        "processor seconds": round(processor + time.process_time() - begun_processor, 2),
        "peak MiB": round(peak_kib / 1024),
        "AP, AP50, AR": [round(value, 6) for value in figures],
    }


def _counted(num_images: int) -> Iterator[int]:
    yield from range(1, num_images)


if __name__ == "__main__":
    main()
