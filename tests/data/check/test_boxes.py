"""Objects that have boxes and no outlines: unusable where masks are needed, else examined as outlines are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from easyseg.cli import main
from easyseg.data.reading import as_dataset, load_dataset
from easyseg.errors import FormatError
from easyseg.io.images import write_image
from easyseg.results import Checkup
from easyseg.structures import BoxShape, LabelledObject, Sample

Examine = Callable[..., Checkup]

WAY_OUT = (
    "Segmenter('faster_rcnn', ...) learns boxes as they are; for others type load_dataset(path, boxes='fill'), which "
    "takes each object to fill its box."
)


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


def yolo(folder: Path, *, count: int = 6, line: str = "0 0.5 0.5 0.25 0.3") -> Path:
    """Write images of noise, 40 x 60 pixels, with a label file of one line each."""
    generator = np.random.default_rng(0)
    (folder / "labels").mkdir(parents=True)
    for number in range(count):
        write_image(folder / f"images/{number:02}.png", generator.integers(0, 256, (40, 60, 3), dtype=np.uint8))
        (folder / f"labels/{number:02}.txt").write_text(f"{line}\n")
    return folder


@pytest.mark.parametrize("write", [coco, yolo])
@pytest.mark.parametrize("given", [{}, {"on_bad_sample": "skip"}])
def test_boxes_alone_are_told_with_the_way_out(
    write: Callable[..., Path], given: dict[str, str], tmp_path: Path, examine: Examine
) -> None:
    """No image is left to look at, which no check minds; what takes boxes all the same is said."""
    checkup = examine(write(tmp_path, count=16), instances=True, **given)
    assert [finding.kind for finding in checkup] == ["unusable_samples"]
    assert (checkup.num_images, checkup["unusable_samples"].count) == (0, 16)
    assert "a box" in checkup["unusable_samples"].cases[0].detail
    assert checkup["unusable_samples"].advice == f"Mend them. {WAY_OUT}"
    assert "unusable_samples" not in examine(tmp_path, boxes="fill")


def test_the_way_out_is_a_flag_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What can be typed in Python is told in the words of the shell."""
    assert main(["check", str(coco(tmp_path, outlined=2)), "--instances", "--workers", "0"]) == 1
    out = capsys.readouterr().out
    assert "or type --on-bad-sample skip to train without them. --model faster_rcnn learns boxes" in out
    assert "for others type --boxes fill, which" in out


def test_images_of_boxes_are_not_without_annotation(tmp_path: Path, examine: Examine) -> None:
    """Beside outlines, what has only a box is unusable; an image that no annotation names is another thing."""
    generator = np.random.default_rng(1)
    for folder in (coco(tmp_path / "coco", outlined=2), yolo(tmp_path / "yolo")):
        if folder.name == "yolo":
            (folder / "labels/01.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
        checkup = examine(folder)
        assert checkup["unusable_samples"].count == (14 if folder.name == "coco" else 5)
        assert "unannotated_images" not in checkup
    write_image(tmp_path / "coco/images/other.png", generator.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    assert [case.name for case in examine(tmp_path / "coco")["unannotated_images"].cases] == ["images/other.png"]


@pytest.mark.parametrize("write", [coco, yolo])
def test_nothing_left_is_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    """A dataset of no annotated image is none, even where unusable ones may be left out; the way out is said."""
    with pytest.raises(FormatError, match="nothing annotated is left, for 6 samples cannot be used") as caught:
        load_dataset(write(tmp_path, count=6), on_bad_sample="skip")
    assert str(caught.value).endswith(f"no mask can be drawn from a box. {WAY_OUT}" if write is yolo else WAY_OUT)
    assert "on_bad_sample" not in str(caught.value)


def test_what_is_left_is_background_only(tmp_path: Path, examine: Examine) -> None:
    """Images without objects beside images of boxes are examined, but make no dataset."""
    (yolo(tmp_path) / "labels/03.txt").write_text("")
    with pytest.raises(FormatError, match="nothing annotated is left, for 5 samples"):
        load_dataset(tmp_path, on_bad_sample="skip")
    checkup = examine(tmp_path)
    assert (checkup.num_images, checkup["unusable_samples"].count) == (1, 5)


@pytest.mark.parametrize("is_relative", [False, True])
def test_boxes_that_leave_the_image(is_relative: bool) -> None:
    """They are told as polygons are, from more than a pixel on; what encloses nothing is told, too."""
    sides = [(5, 5, 65, 33), (5, 5, 67, 20), (70, 5, 80, 20), (-3, 5, 9, 20), (7, 5, 7, 20)]
    scale = np.array([64, 32, 64, 32]) if is_relative else 1
    boxes = [BoxShape(*(np.array(each) / scale).tolist(), is_relative=is_relative) for each in sides]
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    sample = Sample(image, objects=tuple(LabelledObject("roof", box) for box in boxes))
    found = as_dataset([sample]).check(verbose=False)
    assert [case.objects for case in found["outside_polygons"].cases] == [(1,), (2,), (3,)]
    assert found["outside_polygons"].found == "3 polygons or boxes that leave the image."
    assert "2 of 4 points lie outside of the picture, the first at [67.0, 5.0]" in str(found["outside_polygons"])
    assert [case.objects for case in found["degenerate_polygons"].cases] == [(4,)]
