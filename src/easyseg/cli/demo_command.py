"""`easyseg demo`: draw a dataset, train on it, measure, predict. Needs no network and no data."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import easyseg
from easyseg.cli.parser import Parser
from easyseg.cli.predict_command import PictureNames, save_pictures
from easyseg.data.shapes import write_shapes
from easyseg.errors import OutputError

if TYPE_CHECKING:
    from easyseg import InstanceReport, Report

IMAGES = 400
SIZE = 64
SECONDS = 45
"""How long to train: the schedule fits itself to it, so that the demonstration ends in time on any machine."""

_EPILOG = """\
It draws images of discs, squares and triangles, trains a small U-Net on them from scratch, measures it on images it has
not seen, and saves pictures and a report. All of it lies in one folder, which you may delete."""

_NEXT = """
The same on your own images:
  easyseg train --data FOLDER          FOLDER holds images/ and masks/
  easyseg evaluate runs/last
  easyseg predict runs/last --source PHOTOS --to PICTURES
"""


def run(words: list[str]) -> int:
    """Run the demonstration."""
    folder = free_folder(parser().parse(words).to)
    started = time.perf_counter()
    _say(f"[1/4] Drawing {IMAGES} images of {SIZE}x{SIZE} pixels into {folder / 'data'}")
    data = write_shapes(folder / "data", count=IMAGES, size=SIZE)
    _say(f"[2/4] Training a small U-Net from scratch, about {SECONDS} s")
    segmenter = train(data, folder / "run", seconds=SECONDS)
    _say("[3/4] Measuring it on test images it has not seen")
    report = segmenter.evaluate(data, split="test")
    _say(f"{report}")
    _say(f"[4/4] Saving pictures into {folder / 'pictures'}")
    photos = data / "test" / "images"
    names = PictureNames(photos, folder / "pictures")
    save_pictures(segmenter.predict(photos), names.of, kind="side_by_side", legend=True)
    _say(f"\nDone in {time.perf_counter() - started:.0f} s: mean IoU {_mean_iou(report):.3f} on the test images.")
    _say(f"  report    {folder / 'run' / 'report.html'}\n  pictures  {folder / 'pictures'}{_NEXT}")
    return 0


def train(data: Path, run_dir: Path, *, seconds: float) -> easyseg.Segmenter:
    """Train the demonstration's model on its data and return it."""
    segmenter = easyseg.Segmenter("unet", "regnetx_002", weights=None, image_size=SIZE)
    segmenter.fit(
        data,
        time_budget=seconds,
        batch_size=16,
        learning_rate=3e-3,  # small networks that start from random weights bear a high one
        augment="aerial",
        evaluate_every=3,
        patience=None,
        run_dir=run_dir,
    )
    return segmenter


def parser() -> Parser:
    """Return the command's parser."""
    result = Parser("easyseg demo", "[--to FOLDER]", "See it work, without any data of your own.", _EPILOG)
    result.add_argument("--to", metavar="FOLDER", help="where everything goes (default: easyseg_demo, or a free name)")
    return result


def free_folder(wanted: str | None) -> Path:
    """Return the folder wanted, or one that does not exist yet.

    Raises:
        OutputError: the folder wanted holds something.
    """
    folder = Path(wanted or "easyseg_demo")
    if wanted and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(
            f"{folder} exists and is not empty; nothing is ever overwritten. Type another name after --to."
        )
    number = 2
    while not wanted and folder.exists():
        folder = Path(f"easyseg_demo_{number}")
        number += 1
    return folder


def _mean_iou(report: Report | InstanceReport) -> float:
    return float(report.to_dict()["metrics"]["mean_iou"])


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
