"""How fast `fit` trains a detector beside a plain loop over torchvision's own, on the same images, taking turns.

Both train Mask R-CNN on ResNet-50 from random weights on Penn-Fudan at 320 pixels, two images a batch, with flips. The
plain loop is torchvision's reference: its model with its own transform, fp32, SGD, worker processes that read PNG
files. `EASYSEG_DATA` names the folder with the data sets.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from easyseg import Segmenter, load_dataset
from easyseg.training.callbacks import Callback, StepReport

SIZE, BATCH = 320, 2
RATE = 1e-4
WARM_UP = 3


def main() -> None:
    """Run both in turn and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12, help="that are timed in each round")
    parser.add_argument("--part", choices=["fit", "plain"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = Path(os.environ["EASYSEG_DATA"]) / "pennfudan"
    if arguments.part:
        seconds = (fit if arguments.part == "fit" else plain)(folder, arguments.steps)
        sys.stdout.write(json.dumps(seconds) + "\n")
        return
    ratios = []
    for number in range(1, arguments.rounds + 1):
        ours, theirs = (statistics.median(part(name, arguments.steps)) for name in ("fit", "plain"))
        ratios.append(theirs / ours)
        sys.stdout.write(
            f"round {number}: fit {ours:.2f} s a step, plain loop {theirs:.2f} s: {ratios[-1]:.2f} times\n"
        )
    low, high = min(ratios), max(ratios)
    sys.stdout.write(f"fit is {statistics.median(ratios):.2f} times as fast, {low:.2f} to {high:.2f}\n")


def part(name: str, steps: int) -> list[float]:
    """Run one part in a process of its own and return the seconds of each step."""
    program = [sys.executable, __file__, "--part", name, "--steps", str(steps)]
    done = subprocess.run(program, stdout=subprocess.PIPE, check=True, text=True)
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


class Clock(Callback):
    """Notes when steps end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def batch_ended(self, step: StepReport) -> None:
        """Note it."""
        self.ends.append(time.perf_counter())


def fit(folder: Path, steps: int) -> list[float]:
    """Train with easyseg."""
    clock = Clock()
    whole = load_dataset(folder)
    train, val = (whole.split(name).samples for name in ("train", "val"))
    chosen = [train[at % len(train)] for at in range(BATCH * (steps + WARM_UP))]
    Segmenter("mask_rcnn", "resnet50", weights=None, image_size=SIZE).fit(
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
    return np.diff(clock.ends)[WARM_UP - 1 :][:steps].tolist()


def plain(folder: Path, steps: int) -> list[float]:
    """Train as torchvision's reference does."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    dataset = load_dataset(folder).split("train")
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=2, min_size=SIZE, max_size=SIZE)
    model.train()
    # the reference's 0.02 for 16 images makes random weights diverge; without numbers, steps cost half as much
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
    loader = torch.utils.data.DataLoader(
        [_files(dataset[at]) for at in range(len(dataset))],  # type: ignore[arg-type]
        batch_size=BATCH,
        shuffle=True,
        num_workers=2,
        collate_fn=_read_batch,
    )
    ends: list[float] = []
    while len(ends) < steps + WARM_UP:
        for images, targets in loader:
            loss = torch.stack(list(model(images, targets).values())).sum()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            if not loss.isfinite():
                raise SystemExit("The plain loop has diverged, so its times mean nothing.")
            ends.append(time.perf_counter())
    return np.diff(ends)[WARM_UP - 1 :][:steps].tolist()


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
