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

from easyseg import Dataset, Sample, Segmenter, load_dataset
from easyseg.data.reading import as_dataset
from easyseg.structures import LabelledObject, MaskPart

FOLDERS = {"car_damage": "car_damage_via", "pennfudan": "pennfudan", "nuclei": "dsb2018_nuclei"}
ONE_OF_TWO = {"car_damage": "via_region_data.json"}
"""What to read where two files annotate the same images."""


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
            dataset = load_dataset(data / FOLDERS[what], annotations=ONE_OF_TWO.get(what))
            show(what, *trained(dataset, arguments))


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
    places = [at for at in range(len(regions)) if regions[at].objects is not None]
    single, merged = (as_dataset([_drawn(regions, at, are_one) for at in places]) for are_one in (False, True))
    model, seconds = trained(single, arguments)
    show("each region an object", model, seconds)
    sys.stdout.write(f"{merged.check(instances=True)}\n")
    model, seconds = trained(merged, arguments)
    sys.stdout.write(f"the same model on single roofs:\n{model.evaluate(single)}\n")
    show("all roofs of an image one object", model, seconds)


def _drawn(dataset: Dataset, index: int, are_one: bool) -> Sample:
    """Return an image with its regions as objects, or with all of them as one."""
    masks = dataset.instances(index).masks
    if are_one:
        masks = masks.any(axis=0, keepdims=True) if len(masks) else masks
    name = dataset.object_classes[0]
    objects = tuple(LabelledObject(name, MaskPart(mask.astype(np.uint8))) for mask in masks)
    return replace(dataset[index], mask=None, objects=objects)


if __name__ == "__main__":
    main()
