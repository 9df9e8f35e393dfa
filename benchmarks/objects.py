"""What detectors reach on real images, from random weights, in minutes: what works, not what is best.

    python benchmarks/objects.py overfit                 eight images of people, learnt by heart
    python benchmarks/objects.py rooftops                masks of roofs, region by region and as one object per image
    python benchmarks/objects.py car_damage pennfudan nuclei   trained from the raw annotations

`EASYSEG_DATA` names the folder with the data sets.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from easyseg import Dataset, InstanceReport, Sample, Segmenter, load_dataset
from easyseg.data.reading import as_dataset
from easyseg.structures import LabelledObject, MaskPart

FOLDERS = {"car_damage": "car_damage_via", "pennfudan": "pennfudan", "nuclei": "dsb2018_nuclei"}


def main() -> None:
    """Run what was asked for and print each report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=["overfit", "rooftops", *FOLDERS])
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=480.0, help="of training, each")
    arguments = parser.parse_args()
    data = Path(os.environ["EASYSEG_DATA"])
    for what in arguments.what:
        if what == "overfit":
            overfit(data / "pennfudan", arguments)
        elif what == "rooftops":
            rooftops(data / "rooftops", arguments)
        else:
            show(what, *trained(load_dataset(data / FOLDERS[what]), arguments))


def trained(dataset: Dataset, arguments: argparse.Namespace) -> tuple[Segmenter, float]:
    """Train from random weights and return the model with the seconds it took."""
    begun = time.perf_counter()
    segmenter = Segmenter("mask_rcnn", arguments.encoder, weights=None, image_size=arguments.size)
    segmenter.fit(dataset, time_budget=arguments.seconds, patience=None, evaluate_every=5, run_dir=None)
    report = segmenter.evaluate(dataset)
    sys.stdout.write(f"{report}\n")
    return segmenter, time.perf_counter() - begun


def show(title: str, segmenter: Segmenter, seconds: float) -> None:
    """Print how long it took."""
    epochs = segmenter.history.rows[-1]["epoch"] if segmenter.history else 0
    sys.stdout.write(f"== {title}: {segmenter!r}, {epochs} epochs, {seconds:.0f} s with evaluation\n\n")


def overfit(folder: Path, arguments: argparse.Namespace) -> None:
    """Learn eight images by heart and measure them."""
    dataset = load_dataset(folder)
    places = np.linspace(0, len(dataset) - 1, 8).round().astype(int)
    few = [replace(dataset[int(place)], split="train") for place in places]
    eight = replace(dataset, samples=(*few, *(replace(sample, split="val") for sample in few)))
    begun = time.perf_counter()
    segmenter = Segmenter("mask_rcnn", arguments.encoder, weights=None, image_size=arguments.size)
    segmenter.fit(
        eight,
        time_budget=arguments.seconds,
        augment="none",
        batch_size=2,
        patience=None,
        evaluate_every=20,
        run_dir=None,
    )
    report = segmenter.evaluate(eight, split="train")
    sys.stdout.write(f"{report}\n")
    show("eight images by heart", segmenter, time.perf_counter() - begun)


def rooftops(folder: Path, arguments: argparse.Namespace) -> None:
    """Train on each roof as an object, and on all roofs of an image as one; measure both on single roofs."""
    regions = load_dataset(folder).as_instances()
    model, seconds = trained(regions, arguments)
    show("each region an object", model, seconds)
    merged = as_dataset([_merged(regions, at) for at in range(len(regions))])
    sys.stdout.write(f"{merged.check(instances=True)}\n")
    model, seconds = trained(merged, arguments)
    on_roofs = model.evaluate(replace(regions, class_map=merged.class_map), split="val")
    sys.stdout.write(f"the same model on single roofs:\n{on_roofs}\n")
    show("all roofs of an image one object", model, seconds)
    if isinstance(on_roofs, InstanceReport):
        sys.stdout.write(f"AP on single roofs after the merged training {on_roofs.ap:.4f}\n")


def _merged(dataset: Dataset, index: int) -> Sample:
    """Return an image whose objects are one."""
    masks = dataset.instances(index).masks
    whole = (LabelledObject(dataset.object_classes[0], MaskPart(masks.any(axis=0).astype(np.uint8))),)
    return replace(dataset[index], mask=None, objects=whole if len(masks) else ())


if __name__ == "__main__":
    main()
