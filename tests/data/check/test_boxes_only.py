"""Datasets whose objects, or most of them, have boxes and no outlines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from easyseg.cli import main
from easyseg.io.images import write_image
from easyseg.results import Checkup

Examine = Callable[..., Checkup]

WAY_OUT = "For faster_rcnn, which learns boxes and no masks, type load_dataset(path, boxes='fill')."


def coco(folder: Path, *, count: int = 16, outlined: int = 0, bbox: tuple[int, int, int, int] = (5, 6, 20, 20)) -> Path:
    """Write images of noise, 40 x 60 pixels, with one object each; the first `outlined` have an outline, too."""
    generator = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(count):
        write_image(folder / f"images/{number:02}.png", generator.integers(0, 256, (40, 60, 3), dtype=np.uint8))
        images.append({"id": number, "file_name": f"{number:02}.png", "height": 40, "width": 60})
        outline = [[5, 6, 25, 6, 25, 26]] if number < outlined else []
        found = {"id": number, "image_id": number, "category_id": 1, "bbox": list(bbox), "segmentation": outline}
        annotations.append(found)
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "roof"}]}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def test_boxes_alone_are_told_with_the_way_out(tmp_path: Path, examine: Examine) -> None:
    """No image is left to look at, which no check minds; what takes boxes all the same is said."""
    checkup = examine(coco(tmp_path), instances=True)
    assert [finding.kind for finding in checkup] == ["unusable_samples"]
    assert (checkup.num_images, checkup["unusable_samples"].count) == (0, 16)
    assert checkup["unusable_samples"].advice == f"Mend them. {WAY_OUT}"
    assert "unusable_samples" not in examine(tmp_path, boxes="fill")


def test_the_way_out_is_a_flag_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What can be typed in Python is told in the words of the shell."""
    assert main(["check", str(coco(tmp_path, outlined=2)), "--instances", "--workers", "0"]) == 1
    out = capsys.readouterr().out
    assert "or type --on-bad-sample skip to train without them. For faster_rcnn" in out
    assert "type --boxes fill." in out
