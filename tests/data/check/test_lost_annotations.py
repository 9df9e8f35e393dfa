"""Images whose annotation is gone, masks whose image is gone, and objects that share one number."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from easyseg.data.check.pairs import unused_files
from easyseg.data.dataset import Dataset
from easyseg.data.reading import load_dataset
from easyseg.io.images import write_image
from easyseg.results import Checkup
from easyseg.structures import ClassMap, LabelledObject, MaskPart, Sample

Examine = Callable[..., Checkup]


def numbered(folder: Path, count: int = 12) -> Path:
    """Write images with masks that number two or three boxes each."""
    generator = np.random.default_rng(0)
    for number in range(count):
        mask = np.zeros((40, 60), np.uint8)
        for at in range(2 + number % 2):
            mask[5 : 30 + number % 5, 3 + 18 * at : 15 + 18 * at] = at + 1
        write_image(folder / f"PNGImages/{number:02}.png", generator.integers(0, 256, (40, 60, 3), dtype=np.uint8))
        write_image(folder / f"PedMasks/{number:02}_mask.png", mask)
    return folder


def labelme(folder: Path, count: int) -> Path:
    """Write images of noise with one square each in labelme files."""
    generator = np.random.default_rng(0)
    square = {"label": "roof", "points": [[5, 5], [25, 5], [25, 25]], "shape_type": "polygon", "flags": {}}
    for number in range(count):
        write_image(folder / f"{number:02}.png", generator.integers(0, 256, (40, 50, 3), dtype=np.uint8))
        fields = {"imagePath": f"{number:02}.png", "imageHeight": 40, "imageWidth": 50, "version": "5.0.0"}
        (folder / f"{number:02}.json").write_text(json.dumps({**fields, "imageData": None, "shapes": [square]}))
    return folder


def test_masks_of_numbers_without_an_image(tmp_path: Path, examine: Examine) -> None:
    """The mask of an image that is gone is an orphan, also where masks number objects."""
    folder = numbered(tmp_path)
    assert list(examine(folder, format="instance_ids")) == []
    (folder / "PNGImages/03.png").unlink()
    finding = examine(folder, format="instance_ids")["orphan_masks"]
    assert [case.name for case in finding.cases] == ["PedMasks/03_mask.png"]


def test_mask_files_of_single_objects_are_in_use(tmp_path: Path, examine: Examine) -> None:
    """Where each object has a file, none of them is an orphan."""
    for number in range(3):
        for at in range(2):
            mask = np.zeros((20, 30), np.uint8)
            mask[3:9, 3 + 12 * at : 10 + 12 * at] = 255
            write_image(tmp_path / f"{number}/masks/object_{at}.png", mask)
        image = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        write_image(tmp_path / f"{number}/images/{number}.png", image)
    assert not {"orphan_masks", "unused_files", "unannotated_images"} & {finding.kind for finding in examine(tmp_path)}


def test_files_of_objects_beside_images_are_in_use(tmp_path: Path) -> None:
    """A mask of one object that lies among the images is used, another picture there is not."""
    for name in ("street", "street_walker", "other"):
        write_image(tmp_path / f"{name}.png", np.zeros((4, 4), np.uint8))
    walker = LabelledObject("walker", MaskPart(tmp_path / "street_walker.png"))
    sample = Sample(tmp_path / "street.png", objects=(walker,))
    assert unused_files([sample], []) == [tmp_path / "other.png"]


@pytest.mark.parametrize(("lost", "severity"), [(1, "warning"), (6, "note")])
def test_images_that_lost_their_annotation(tmp_path: Path, examine: Examine, lost: int, severity: str) -> None:
    """A few images without a JSON file may have lost it; many are how the data are."""
    folder = labelme(tmp_path, 12)
    for number in range(lost):
        (folder / f"{number:02}.json").unlink()
    finding = examine(folder)["unannotated_images"]
    assert [case.name for case in finding.cases] == [f"{number:02}.png" for number in range(lost)]
    assert finding.severity == severity
    assert "unlabelled='background'" in finding.advice


def test_empty_masks_of_one_split(tmp_path: Path, examine: Examine) -> None:
    """Where half of the masks of one split are empty and hardly any of the other, they were forgotten."""
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(12):
            mask = np.zeros((40, 50), np.uint8)
            mask[5 : 20 + number, 8:30] = 255 * (split == "train" or number % 2)
            image = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            write_image(tmp_path / split / f"images/{number:02}.png", image)
            write_image(tmp_path / split / f"masks/{number:02}.png", mask)
    finding = examine(tmp_path)["empty_masks"]
    assert finding.severity == "warning"
    assert "They differ: 0% in train, 50% in val." in finding.found
    for number in range(1, 12, 2):
        write_image(tmp_path / f"train/masks/{number:02}.png", np.zeros((40, 50), np.uint8))
    assert examine(tmp_path)["empty_masks"].severity == "note"


def test_half_of_the_images_without_objects(tmp_path: Path, examine: Examine) -> None:
    """In data of objects, so many images without any were not looked at."""
    folder = labelme(tmp_path, 12)
    for number in range(0, 12, 3):
        file = folder / f"{number:02}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "shapes": []}))
    assert examine(folder)["empty_masks"].severity == "note"
    for number in range(0, 12, 2):
        file = folder / f"{number:02}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "shapes": []}))
    finding = examine(folder)["empty_masks"]
    assert finding.severity == "warning"
    assert "In half of the images there is no object." in finding.found


def test_numbered_masks_with_one_number_for_all(tmp_path: Path, examine: Examine) -> None:
    """Among masks that number their objects, those with one number for several regions are merged, the worst first."""
    folder = numbered(tmp_path)
    given = {"format": "instance_ids", "instances": True}
    assert "merged_objects" not in examine(folder, **given)
    for number in (2, 3):
        mask = np.zeros((40, 60), np.uint8)
        for at in range(number):
            mask[5:30, 3 + 18 * at : 15 + 18 * at] = 255
        mask[35, 50] = 255  # a speck is no region
        write_image(folder / f"PedMasks/{number:02}_mask.png", mask)
    walker = np.zeros((40, 60), np.uint8)
    walker[2:38, 5:30] = walker[10:16, 40:46] = 1  # a hand beyond a pole, less than a tenth
    write_image(folder / "PedMasks/05_mask.png", walker)
    finding = examine(folder, **given)["merged_objects"]
    assert [case.detail for case in finding.cases] == [
        "one number covers 3 separate regions",
        "one number covers 2 separate regions",
    ]
    assert [case.samples for case in finding.cases] == [(3,), (2,)]
    assert "merged_objects" not in examine(folder, format="instance_ids")


@pytest.mark.parametrize(("parted", "found"), [(3, False), (9, True)])
def test_one_number_in_every_mask(tmp_path: Path, examine: Examine, parted: int, found: bool) -> None:
    """Where each image has one number, it may be one object in parts here and there, but not in most images."""
    folder = numbered(tmp_path)
    for at, path in enumerate(sorted((folder / "PedMasks").iterdir())):
        mask = np.zeros((40, 60), np.uint8)
        mask[5:30, 3:15] = 1
        mask[5:30, 21:40] = at < parted
        write_image(path, mask)
    assert ("merged_objects" in examine(folder, format="instance_ids", instances=True)) is found


@pytest.mark.parametrize(("name", "wrong"), [("img_7", "img_007"), ("img_107", "img_1O7"), ("0012", "12")])
def test_numbers_written_in_another_way(tmp_path: Path, examine: Examine, name: str, wrong: str) -> None:
    """A number with zeros before it, or a letter O for a zero, is the same number."""
    folder = tmp_path / "set"
    for at, stem in enumerate([name, "img_3", "img_45", "img_6", "img_99"]):
        image = np.random.default_rng(at).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        mask = np.zeros((20, 30), np.uint8)
        mask[3 : 9 + at, 3:20] = 255
        write_image(folder / f"images/{stem}.png", image)
        write_image(folder / f"masks/{wrong if stem == name else stem}.png", mask)
    checkup = examine(folder)
    assert f"{wrong}.png" in checkup["missing_masks"].cases[0].detail
    assert f"{name}.png" in checkup["orphan_masks"].cases[0].detail


def test_a_second_mask_under_a_longer_name(shapes: Path, examine: Examine) -> None:
    """X_mask.png beside X.png is no orphan: one of the two is wrong."""
    mask = sorted((shapes / "train/masks").iterdir())[0]
    (mask.with_name(f"{mask.stem}_mask.png")).write_bytes(mask.read_bytes())
    checkup = examine(shapes)
    assert [case.name for case in checkup["second_masks"].cases] == [f"train/masks/{mask.stem}_mask.png"]
    assert checkup["second_masks"].severity == "error"
    assert "orphan_masks" not in checkup


def lone_masks(count: int, merged: int, *, own_masks: int = 0) -> Dataset:
    """Return images with one mask as their only object, of several regions in some; and images with two masks."""
    generator = np.random.default_rng(0)
    samples = []
    for number in range(count):
        first, second = np.zeros((2, 40, 60), np.uint8)
        first[5 : 30 + number % 5, 3:15] = 1
        second[5:30, 21:40] = 1
        masks = [first, second] if number < own_masks else [first | second * (number < own_masks + merged)]
        objects = tuple(LabelledObject("roof", MaskPart(mask)) for mask in masks)
        image = generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        samples.append(Sample(image, objects=objects, split="train", label=f"image {number}"))
    return Dataset(tuple(samples), ClassMap("binary", ("roof",), "names", object_names=(("roof",),)))


@pytest.mark.parametrize(
    ("merged", "own_masks", "found"),
    [
        (12, 0, True),
        (7, 0, True),
        (6, 0, False),  # half of the images may show an object with something in front of it
        (3, 7, False),  # most images tell objects apart
        (5, 5, True),
    ],
)
def test_all_objects_of_an_image_in_one_mask(merged: int, own_masks: int, found: bool) -> None:
    """Where most images have one object of several regions, each mask seems to hold all objects."""
    dataset = lone_masks(12, merged, own_masks=own_masks)
    findings = dataset.check(instances=True, verbose=False, workers=0)
    assert ("merged_objects" in findings) is found
    if found:
        assert findings["merged_objects"].count == merged
        assert findings["merged_objects"].cases[0].detail == "one object of 2 separate regions"
        assert "dataset.to_masks(" in findings["merged_objects"].advice
    assert "merged_objects" not in dataset.check(verbose=False, workers=0)


def test_lone_masks_that_cannot_be_read() -> None:
    """A mask of another size is told elsewhere, and is not counted here."""
    dataset = lone_masks(12, 12)
    broken = LabelledObject("roof", MaskPart(np.ones((9, 9, 3), np.uint8)))
    samples = (*dataset.samples, Sample(np.zeros((40, 60, 3), np.uint8), objects=(broken,), label="broken"))
    findings = replace(dataset, samples=samples).check(instances=True, verbose=False, workers=0)
    assert findings["merged_objects"].count == 12


def test_connected_regions_are_not_merged() -> None:
    """What the check advises silences it."""
    masks = [sample.objects[0].shape.mask for sample in lone_masks(12, 12).samples]  # type: ignore[index, union-attr]
    samples = tuple(Sample(np.full((40, 60, 3), at, np.uint8), mask) for at, mask in enumerate(masks))
    dataset = Dataset(samples, ClassMap("binary", ("roof",)))
    assert "merged_objects" in dataset.check(instances=True, verbose=False, workers=0)
    assert "merged_objects" not in dataset.as_instances().check(instances=True, verbose=False, workers=0)


def test_rooftops_as_one_object_and_as_many(shared_data: Path) -> None:
    """Real masks of roofs: as one object per image an error, by connected regions none."""
    dataset = load_dataset(shared_data / "rooftops").split("train")
    name = dataset.classes[0]
    samples = tuple(replace(s, mask=None, objects=(LabelledObject(name, MaskPart(s.mask)),)) for s in dataset.samples)  # type: ignore[arg-type]
    as_one = replace(dataset, samples=samples)
    given = {"instances": True, "verbose": False, "workers": 0, "near_duplicates": False}
    assert as_one.check(**given)["merged_objects"].severity == "error"
    assert "merged_objects" not in dataset.as_instances().check(**given)
