"""How fast `fit` trains a detector beside a plain loop over torchvision's own, on the same images, taking turns.

Both train Mask R-CNN on ResNet-50 from random weights on Penn-Fudan at 320 pixels, two images a batch, with flips. The
plain loop is torchvision's reference: its model with its own transform, fp32, SGD, worker processes that read PNG
files. It runs with the anchors that `fit` found in the data, and once more with its own: those match fewer objects, so
fewer boxes get to the mask branch, which is half of the work, and a step learns and takes less. Each line says how many
boxes a step learnt masks from. `EASYSEG_DATA` names the folder with the data sets.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor

from easyseg import Segmenter, load_dataset
from easyseg.models.instance.proposals import PyramidAnchors
from easyseg.training.callbacks import Callback, StepReport

SIZE, BATCH = 320, 2
RATE = 1e-4
WARM_UP = 3


def main() -> None:
    """Run them in turn and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12, help="that are timed in each round")
    parser.add_argument("--part", choices=["fit", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--anchors", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = Path(os.environ["EASYSEG_DATA"]) / "pennfudan"
    if arguments.part:
        found = (fit if arguments.part == "fit" else plain)(folder, arguments)
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
        return
    ratios: dict[str, list[float]] = {"the same anchors": [], "its own anchors": []}
    for number in range(1, arguments.rounds + 1):
        ours = part("fit", arguments.steps, seed=number)
        sys.stdout.write(f"round {number}: fit {ours}\n")
        for name, anchors in zip(ratios, (ours.anchors, None), strict=True):
            theirs = part("plain", arguments.steps, seed=number, anchors=anchors)
            ratios[name].append(theirs.median / ours.median)
            sys.stdout.write(f"round {number}: plain loop with {name} {theirs}: {ratios[name][-1]:.2f} times\n")
    for name, found in ratios.items():
        middle, low, high = statistics.median(found), min(found), max(found)
        sys.stdout.write(f"against {name}: {middle:.2f} times as fast, {low:.2f} to {high:.2f}\n")


@dataclass(frozen=True)
class Course:
    """How a part went: seconds and boxes with masks of each step, and the shapes of anchors by level."""

    seconds: list[float]
    boxes: list[int]
    anchors: list[list[list[float]]] | None = None

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median:.2f} s a step, {statistics.mean(self.boxes):.0f} boxes"


def part(name: str, steps: int, *, seed: int, anchors: list[list[list[float]]] | None = None) -> Course:
    """Run one part in a process of its own."""
    program = [sys.executable, __file__, "--part", name, "--steps", str(steps), "--seed", str(seed)]
    done = subprocess.run([*program, "--anchors", json.dumps(anchors)], stdout=subprocess.PIPE, check=True, text=True)
    return Course(**json.loads(done.stdout.splitlines()[-1]))


class Watch:
    """Notes how many boxes the mask branch gets in each step, and the shapes of easyseg's anchors."""

    def __init__(self) -> None:
        self.boxes: list[int] = []
        self.anchors: list[list[list[float]]] | None = None

    def __enter__(self) -> Watch:
        self._hook = torch.nn.modules.module.register_module_forward_hook(self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def course(self, ends: list[float], steps: int) -> Course:
        """Return what was seen in the steps that count, which ended at these times."""
        seconds = np.diff(ends)[WARM_UP - 1 :][:steps].tolist()
        return Course(seconds, self.boxes[WARM_UP:][:steps], self.anchors)

    def _note(self, module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, MaskRCNNPredictor) and module.training:
            self.boxes.append(len(inputs[0]))
        if isinstance(module, PyramidAnchors):
            self.anchors = module.shapes.tolist()


class Clock(Callback):
    """Notes when steps end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def batch_ended(self, step: StepReport) -> None:
        """Note it."""
        self.ends.append(time.perf_counter())


def fit(folder: Path, arguments: argparse.Namespace) -> Course:
    """Train with easyseg."""
    clock, steps = Clock(), arguments.steps
    whole = load_dataset(folder)
    train, val = (whole.split(name).samples for name in ("train", "val"))
    chosen = [train[at % len(train)] for at in range(BATCH * (steps + WARM_UP))]
    with Watch() as watch:
        Segmenter("mask_rcnn", "resnet50", weights=None, image_size=SIZE, seed=arguments.seed).fit(
            replace(whole, samples=(*chosen, val[0])),
            epochs=1,
            batch_size=BATCH,
            optimizer="sgd",
            learning_rate=RATE,
            augment="light",
            run_dir=None,
            verbose=False,
            callbacks=clock,
        )
    return watch.course(clock.ends, steps)


def plain(folder: Path, arguments: argparse.Namespace) -> Course:
    """Train as torchvision's reference does."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    steps, dataset = arguments.steps, load_dataset(folder).split("train")
    torch.manual_seed(arguments.seed)
    generator = None if arguments.anchors is None else _generator(arguments.anchors)
    model = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=2,
        min_size=SIZE,
        max_size=SIZE,
        rpn_anchor_generator=generator,
    )
    model.train()
    # the reference's 0.02 for 16 images makes random weights diverge; without numbers, steps cost half as much
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
    loader = torch.utils.data.DataLoader(
        [_files(dataset[at]) for at in range(len(dataset))],
        batch_size=BATCH,
        shuffle=True,
        num_workers=2,
        collate_fn=_read_batch,
    )
    ends: list[float] = []
    with Watch() as watch:
        while len(ends) < steps + WARM_UP:
            for images, targets in loader:
                loss = torch.stack(list(model(images, targets).values())).sum()
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                if not loss.isfinite():
                    raise SystemExit("The plain loop has diverged, so its times mean nothing.")
                ends.append(time.perf_counter())
    return watch.course(ends, steps)


def _generator(shapes: list[list[list[float]]]) -> Any:
    """Return torchvision's anchors in these shapes, which sizes and ratios alone cannot always give."""
    ratios = tuple(1.0 for _ in shapes[0])
    generator = AnchorGenerator(((1,),) * len(shapes), (ratios,) * len(shapes))
    generator.cell_anchors = [torch.cat([-torch.tensor(level), torch.tensor(level)], dim=1) / 2 for level in shapes]
    return generator


def _files(sample: Any) -> tuple[str, str]:
    return str(sample.image), str(sample.objects.mask)


def _read_batch(files: list[tuple[str, str]]) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    """Read images and masks of numbers as torchvision's tutorial does, and flip half of them."""
    from torchvision.io import ImageReadMode, read_image
    from torchvision.ops import masks_to_boxes

    images, targets = [], []
    for image_path, mask_path in files:
        image, numbers = read_image(image_path, ImageReadMode.RGB).float() / 255, read_image(mask_path)[0]
        if torch.rand(()) < 0.5:
            image, numbers = image.flip(-1), numbers.flip(-1)
        masks = (numbers == numbers.unique()[1:, None, None]).to(torch.uint8)
        labels = torch.ones(len(masks), dtype=torch.int64)
        images.append(image)
        targets.append({"boxes": masks_to_boxes(masks), "labels": labels, "masks": masks})
    return images, targets


if __name__ == "__main__":
    main()
