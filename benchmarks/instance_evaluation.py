"""A whole evaluation of objects, as after every epoch, against the usual loop with torchmetrics: time and peak memory.

    python benchmarks/instance_evaluation.py [--images 500] [--rounds 3]

Every image has 640x480 pixels, 100 true objects and 100 that a detector found, of ten classes. The network is left out:
its output, patches of 28x28 on their boxes, was drawn into files, and is returned at once; what is measured is what an
evaluation adds to a network. Both sides get the same true masks, dense, and the same output. Ours pastes, compares
masks and boxes and diagnoses mistakes; the other pastes with torchvision and hands the masks to torchmetrics with its
default backend, masks only.

torchmetrics and pycocotools are no dependencies of easyseg; install them to compare. Each measurement runs in a process
of its own, so that its peak memory, imports included, is its own; rounds alternate, and the ratio is the median over
rounds. "kept" repeats our evaluation with `keep=True`, as training does from its second epoch on.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from instance_metrics import HEIGHT, NUM_CLASSES, NUM_OBJECTS, WIDTH, Picture
from torch import Tensor, nn

from easyseg.structures import Instances, RawObjects

CELLS = 28


class Drawings:
    """Images with their true objects, and what a detector finds in them, in files that are read as they are needed."""

    def __init__(self, folder: Path, count: int) -> None:
        self._count = count
        self._columns = {
            file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy") if not file.stem.isdigit()
        }
        self._folder = folder

    def __len__(self) -> int:
        return self._count

    def read(self, number: int) -> tuple[np.ndarray, Instances]:
        """Return a black image whose first pixel holds its number, and its objects."""
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        image[0, 0] = number // 256, number % 256, 0
        masks = np.unpackbits(np.load(self._folder / f"{number}.npy"), count=NUM_OBJECTS * HEIGHT * WIDTH)
        boxes, class_ids = (np.array(self._columns[name][number]) for name in ("true_boxes", "true_class_ids"))
        masks = masks.view(bool).reshape(NUM_OBJECTS, HEIGHT, WIDTH)
        return image, Instances(masks, boxes, class_ids, np.zeros(NUM_OBJECTS, bool))

    def found(self, number: int) -> RawObjects:
        """Return what a detector finds in an image."""
        boxes, scores, class_ids, patches = (
            torch.from_numpy(np.array(self._columns[name][number]))
            for name in ("boxes", "scores", "class_ids", "patches")
        )
        return RawObjects(boxes, scores, class_ids, patches.float() / 255)


def draw(folder: Path, count: int) -> None:
    """Write the drawings; patches are cut out of masks as training cuts them out, in steps of 1/255."""
    from torchvision.ops import roi_align

    columns: dict[str, list[np.ndarray]] = {}
    for number in range(count):
        picture = Picture(number)
        np.save(folder / f"{number}.npy", np.packbits(picture.truth))
        order = np.argsort(-picture.scores)
        boxes = _boxes(picture.predicted[order])
        masks = torch.from_numpy(picture.predicted[order])[:, None].float()
        places = np.concatenate([np.arange(len(boxes), dtype=np.float32)[:, None], boxes], axis=1)
        patches = roi_align(masks, torch.from_numpy(places), (CELLS, CELLS), 1.0)[:, 0]
        row = {
            "true_boxes": _boxes(picture.truth),
            "true_class_ids": picture.truth_classes,
            "boxes": boxes,
            "scores": picture.scores[order].astype(np.float32),
            "class_ids": picture.classes[order],
            "patches": (patches * 255).round().byte().numpy(),
        }
        for name, values in row.items():
            columns.setdefault(name, []).append(values)
    for name, rows in columns.items():
        np.save(folder / f"{name}.npy", np.stack(rows))


class Answering(nn.Module):
    """A network that knows the answer by the image's first pixel."""

    def __init__(self, drawings: Drawings) -> None:
        super().__init__()
        self.drawings = drawings

    def infer(self, images: Tensor) -> list[RawObjects]:
        """Return what was drawn."""
        return [self.drawings.found(256 * int(image[0, 0, 0]) + int(image[1, 0, 0])) for image in images]


@dataclass(frozen=True)
class Measured:
    """What an evaluation took, wall time and time on the processor, and AP, AP50 and AR."""

    seconds: float
    processor_seconds: float
    figures: list[float]


def with_easyseg(drawings: Drawings, *, epochs: int = 1) -> Measured:
    """Evaluate as often as asked, and return what the last time took."""
    from easyseg.devices import Compute
    from easyseg.metrics import TruthObjects
    from easyseg.prediction.object_scoring import AnnotatedObjects, ObjectEvaluation
    from easyseg.prediction.objects import ObjectLimits
    from easyseg.preprocessing import Preprocessing

    def read(number: int) -> tuple[np.ndarray, TruthObjects]:
        image, instances = drawings.read(number)
        return image, TruthObjects.from_instances(instances)

    evaluation = ObjectEvaluation(
        AnnotatedObjects(len(drawings), read, NUM_CLASSES),
        preprocessing=Preprocessing(None, None, 3),
        compute=Compute(torch.device("cpu"), torch.float32),
        batch_size=4,
        limits=ObjectLimits(),
        keep=epochs > 1,
    )
    for _ in range(epochs):
        begun, begun_processor = time.perf_counter(), time.process_time()
        scorer = evaluation.score(Answering(drawings)).scorer
        overall = scorer.scores("mask").overall
        scorer.scores("box")
        scorer.diagnosis()
        seconds, processor = time.perf_counter() - begun, time.process_time() - begun_processor
    return Measured(seconds, processor, [overall.ap, overall.ap50, overall.ar])


def with_torchmetrics(drawings: Drawings) -> Measured:
    """Evaluate once."""
    from torchmetrics.detection import MeanAveragePrecision
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    begun, begun_processor = time.perf_counter(), time.process_time()
    metric = MeanAveragePrecision(iou_type="segm", class_metrics=True)
    for number in range(len(drawings)):
        found = drawings.found(number)
        _, truth = drawings.read(number)
        pasted = paste_masks_in_image(found.masks[:, None], found.boxes, (HEIGHT, WIDTH))[:, 0] > 0.5
        prediction = {"masks": pasted, "labels": found.class_ids, "scores": found.scores}
        target = {"masks": torch.from_numpy(truth.masks), "labels": torch.from_numpy(truth.class_ids)}
        metric.update([prediction], [target])
    values = metric.compute()
    seconds, processor = time.perf_counter() - begun, time.process_time() - begun_processor
    return Measured(seconds, processor, [float(values[name]) for name in ("map", "map_50", "mar_100")])


CONTESTANTS: dict[str, Callable[[Drawings], Measured]] = {
    "easyseg": with_easyseg,
    "easyseg, kept": lambda drawings: with_easyseg(drawings, epochs=2),
    "torchmetrics": with_torchmetrics,
}


def main() -> None:
    """Measure all in turn, round by round, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--draw", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        draw(Path(options.folder), options.images)
        return
    if options.measure:
        print(json.dumps(measure(options.measure, Path(options.folder), options.images)))
        return
    seconds: dict[str, list[float]] = {name: [] for name in options.only}
    with tempfile.TemporaryDirectory() as folder:
        # in a process of its own: a process that is started from a large one counts its peak, too
        count = ["--folder", folder, "--images", str(options.images)]
        subprocess.run([sys.executable, __file__, "--draw", *count], check=True)
        for number in range(1, options.rounds + 1):
            for name in options.only:
                command = [sys.executable, __file__, "--measure", name, *count]
                found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
                seconds[name].append(found["processor seconds"])
                words = "  ".join(f"{what} {value}" for what, value in found.items())
                print(f"round {number}  {name:14} {words}", flush=True)
    for name in options.only:
        if name != "torchmetrics" and "torchmetrics" in seconds:
            ratios = [theirs / ours for theirs, ours in zip(seconds["torchmetrics"], seconds[name], strict=True)]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"torchmetrics / {name}, processor seconds: median {statistics.median(ratios):.2f} ({spread})")


def measure(name: str, folder: Path, num_images: int) -> dict[str, Any]:
    """Return wall and processor seconds, peak memory of the process, and the figures found."""
    CONTESTANTS[name](Drawings(folder, 2))  # imports and first calls are not counted
    found = CONTESTANTS[name](Drawings(folder, num_images))
    return {
        "seconds": round(found.seconds, 2),
        "processor seconds": round(found.processor_seconds, 2),
        "peak MiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "AP, AP50, AR": [round(value, 5) for value in found.figures],
    }


def _boxes(masks: np.ndarray) -> np.ndarray:
    """Return (N, 4) float32 boxes around masks; around the first pixel where a mask is empty."""
    from easyseg.geometry import mask_to_box

    return np.array([mask_to_box(mask) or (0, 0, 1, 1) for mask in masks], np.float32)


if __name__ == "__main__":
    main()
