"""Pictures of what was found: of pairs both, of masks the mask and where it lies, of what cannot be read nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easyseg.config import CheckSettings
from easyseg.data.check import doctor, pictures
from easyseg.data.check.opening import open_folder, opened_dataset
from easyseg.data.check.pictures import MOST_PICTURES, worst_pictures
from easyseg.data.reading import as_dataset
from easyseg.data.shapes import draw_shapes
from easyseg.results import Checkup
from easyseg.results.checkup import PicturedCase
from easyseg.structures import BoxShape, LabelledObject, Polygons, Sample, Shape

PANELS = {
    "leaks": 2,
    "duplicates": 2,
    "near_leaks": 2,
    "near_duplicates": 2,
    "conflicting_annotations": 2,
    "constant_images": 1,
    "mixed_numbers": 1,
    "missing_masks": 1,
    "unknown_values": 3,
    "void_masks": 3,
    "empty_masks": 3,
    "black_and_white_masks": 3,
    "mixed_encodings": 3,
    "antialiased_masks": 3,
    "size_mismatch": 2,
    "exif_rotation": 2,
    "conflicting_masks": 3,
}


def pictured(root: Path, given: dict[str, Any]) -> tuple[Checkup, dict[str, list[PicturedCase]]]:
    """Return a checkup and its pictures."""
    kept: list[Any] = []
    settings = CheckSettings(verbose=False, workers=0)
    survey, _ = doctor._surveyed(open_folder(root, given), settings)
    checkup = doctor.examine_folder(root, given, settings)
    kept.append(survey)
    return checkup, worst_pictures(survey, checkup)


def test_every_kind_that_can_be_seen_is_shown(planting: Any, tmp_path: Path) -> None:
    """Each finding has its panels, none larger than a page can bear."""
    copy = planting.copy_of("shapes", tmp_path / "drawn", tmp_path / "copy", limit=80)
    for plant, _, _ in planting.KINDS.values():
        for _ in range(2):
            plant(copy)
    checkup, pictures = pictured(copy.root, copy.settings)
    assert {kind: len(pictures[kind][0].panels) for kind in PANELS} == PANELS
    assert not {"truncated", "unreadable", "orphan_masks", "class_imbalance"} & set(pictures)
    for kind, cases in pictures.items():
        assert len(cases) <= MOST_PICTURES
        assert cases[0].caption in {str(case) for case in checkup[kind].cases[:MOST_PICTURES]}
        for panel in (panel for case in cases for panel in case.panels):
            assert panel.picture.dtype == np.uint8
            assert panel.picture.shape[0] <= 240
            assert panel.picture.shape[1] <= 420
            assert panel.picture.shape[2] == 3


def test_strange_values_are_loud(planting: Any, tmp_path: Path) -> None:
    """A few pixels of no class can be seen in the mask and on the image."""
    copy = planting.copy_of("shapes", tmp_path / "drawn", tmp_path / "copy", limit=30)
    planting.unknown_value(copy)
    _, pictures = pictured(copy.root, copy.settings)
    _, mask, overlay = (panel.picture.astype(int) for panel in pictures["unknown_values"][0].panels)
    loud = (mask == (255, 0, 200)).all(axis=2)
    assert 0 < loud.mean() < 0.6
    assert (overlay[loud][:, 0] > 120).mean() > 0.9


@pytest.mark.parametrize(
    "given",
    [
        {"class_map": {"black": (0, 0, 0), "red": (200, 0, 0)}},
        {"class_map": {"red": (200, 0, 0)}},
        {},
    ],
    ids=["colours", "one colour", "no map"],
)
def test_colours_and_masks_without_meaning_are_shown_as_they_are(tmp_path: Path, given: dict[str, Any]) -> None:
    """Where no class map applies, one sees what the file shows."""
    from easyseg.io.images import write_image

    for number in range(12):
        mask = np.zeros((20, 24, 3), np.uint8)
        mask[:8] = (200, 0, 0)
        if number == 0 or not given:
            mask[-4:] = np.random.default_rng(number).integers(0, 255, (4, 24, 3))
        write_image(tmp_path / f"images/{number:02}.png", draw_shapes(24, np.random.default_rng(number))[0][:20])
        write_image(tmp_path / f"masks/{number:02}.png", mask)
    write_image(tmp_path / "masks/01.png", mask[:10])
    checkup, pictures = pictured(tmp_path, given)
    panels = pictures["size_mismatch"][0].panels
    assert (panels[1].picture.reshape(-1, 3) == (200, 0, 0)).all(axis=1).any()
    assert checkup["size_mismatch"].count == 1


def test_overlapping_classes_are_laid_over_each_other() -> None:
    """For overlapping classes, all masks of an image are on its overlay."""
    images = np.stack([draw_shapes(32, np.random.default_rng(number))[0] for number in range(6)])
    masks = np.zeros((6, 2, 32, 32), np.uint8)
    masks[:, 0, :16], masks[:, 1, :, :16] = 1, 1
    masks[3] = 0
    dataset = as_dataset((images, masks))
    settings = CheckSettings(verbose=False)
    survey, _ = doctor._surveyed(doctor.opened_dataset(dataset), settings)
    pictures = worst_pictures(survey, dataset.check(verbose=False))
    assert len(pictures["empty_masks"][0].panels) == 3


@pytest.mark.parametrize("is_box", [False, True])
def test_outlines_are_shown_with_what_lies_beyond_the_image(is_box: bool) -> None:
    """The object that is meant, on the whole image and closely; what is outside of the image is grey."""
    image = np.full((60, 80, 3), 200, np.uint8)
    image[::2] = 90
    inside = np.array([(10.0, 10.0), (30.0, 10.0), (30.0, 30.0)])
    outside = np.array([(60.0, 40.0), (110.0, 40.0), (110.0, 55.0), (60.0, 55.0)])
    far = np.array([(900.0, 900.0), (950.0, 900.0), (950.0, 950.0)])
    shape = BoxShape(60.0, 40.0, 110.0, 55.0) if is_box else Polygons(((outside,),))
    shapes: list[Shape] = [Polygons(((inside,),)), shape, Polygons(((far,),))]
    objects = [LabelledObject("roof", shape) for shape in shapes]
    dataset = as_dataset([Sample(image, objects=objects)])
    survey, _ = doctor._surveyed(opened_dataset(dataset), CheckSettings(verbose=False, workers=0))
    checkup = dataset.check(verbose=False)
    assert [case.objects for case in checkup["outside_polygons"].cases] == [(1,), (2,)]
    first, second = worst_pictures(survey, checkup)["outside_polygons"]
    for pictured_case, number in ((first, 2), (second, 3)):
        assert [panel.title for panel in pictured_case.panels] == [f"object {number}", f"object {number}, closely"]
        assert (pictured_case.panels[1].picture == pictures._OUTSIDE).all(axis=2).any()
    loud = np.abs(first.panels[0].picture.astype(int) - pictures._STRANGE).sum(axis=2) < 120  # the line is smooth
    assert loud.any()
    assert not loud[:, : loud.shape[1] // 2].any()  # the sound object is not marked
