"""Each check finds its fault, names the very files, says what to do, and finds nothing in a sound dataset."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from tiff_files import tiff_bytes

from easyseg import load_dataset
from easyseg.data.check import sources
from easyseg.data.class_weights import balanced_class_weights
from easyseg.data.reading import as_dataset
from easyseg.data.shapes import draw_shapes
from easyseg.errors import ClassMapError, DataError, FormatError
from easyseg.io.images import write_image
from easyseg.results import Checkup, Finding
from easyseg.structures import LabelledObject, MaskPart, Polygons, Sample

Examine = Callable[..., Checkup]


def read(path: Path) -> np.ndarray:
    """Return the pixels of a picture as its file stores them."""
    return np.asarray(Image.open(path)).copy()


def names(finding: Finding) -> list[str]:
    """Return the files of a finding."""
    return [case.name for case in finding.cases]


def first(shapes: Path, kind: str, split: str = "train", at: int = 0) -> Path:
    """Return an image or mask of the dataset."""
    return sorted((shapes / split / kind).iterdir())[at]


def harm(checkup: Checkup) -> set[str]:
    """Return the kinds of errors and warnings."""
    return {finding.kind for finding in checkup if finding.severity != "note"}


def test_a_sound_dataset_is_healthy(shapes: Path, examine: Examine) -> None:
    """Nothing is wrong, nothing was changed, and the verdict has three lines."""
    before = {path: path.stat().st_mtime_ns for path in shapes.rglob("*")}
    checkup = examine(shapes)
    assert harm(checkup) == set()
    assert checkup.is_healthy
    assert len(str(checkup).splitlines()) == 3
    assert checkup.splits == {"train": 16, "val": 4, "test": 4}
    assert {path: path.stat().st_mtime_ns for path in shapes.rglob("*")} == before


def test_missing_masks_and_orphans_name_each_other(shapes: Path, examine: Examine) -> None:
    """A misspelt mask is told with the image it most likely belongs to, and the other way round."""
    mask = first(shapes, "masks")
    wrong = mask.rename(mask.with_name(mask.name.replace("shapes", "shaeps")))
    checkup = examine(shapes)
    missing, orphans = checkup["missing_masks"], checkup["orphan_masks"]
    assert names(missing) == [f"train/images/{mask.name}"]
    assert wrong.name in missing.cases[0].detail
    assert names(orphans) == [f"train/masks/{wrong.name}"]
    assert mask.name in orphans.cases[0].detail
    assert harm(checkup) == {"missing_masks", "orphan_masks"}


def test_names_of_other_numbers_are_not_suggested(shapes: Path, examine: Examine) -> None:
    """shapes_0003 is no slip of shapes_0002."""
    first(shapes, "masks", at=0).unlink()
    image = first(shapes, "images", at=1)
    shutil.copy(image, shapes / "train/masks/shapes_0999.png")
    assert examine(shapes)["missing_masks"].cases[0].detail == ""


def test_a_split_without_masks_is_there_to_predict(shapes: Path, examine: Examine) -> None:
    """Images that are only to be predicted lack nothing."""
    shutil.rmtree(shapes / "test/masks")
    assert harm(examine(shapes)) == set()


def test_unused_files_beside_images_are_a_note(shapes: Path, examine: Examine) -> None:
    """Images that the lists leave out do no harm."""
    stems = [path.stem for path in sorted((shapes / "train/images").iterdir())]
    folder = shapes / "train"
    (folder / "train.txt").write_text("\n".join(stems[:10]))
    (folder / "val.txt").write_text("\n".join(stems[10:14]))
    for mask in (folder / "masks").iterdir():
        if mask.stem in stems[14:]:
            mask.unlink()
    checkup = examine(folder)
    assert checkup["unused_files"].count == 2
    assert checkup["unused_files"].severity == "note"


def test_broken_files_are_told_apart(shapes: Path, examine: Examine) -> None:
    """Cut off, empty, and no picture at all: each in its own words, images and masks."""
    image, mask = first(shapes, "images"), first(shapes, "masks", at=1)
    image.write_bytes(image.read_bytes()[:-40])
    mask.write_bytes(mask.read_bytes()[:-40])
    first(shapes, "images", at=2).write_bytes(b"")
    first(shapes, "masks", at=3).write_bytes(b"<html>")
    checkup = examine(shapes)
    assert names(checkup["truncated"]) == [f"train/images/{image.name}", f"train/masks/{mask.name}"]
    assert checkup["truncated"].cases[0].detail == "the end is missing"
    assert [case.detail[:20] for case in checkup["unreadable"].cases] == [
        "the file is empty (0",
        "this is no picture o",
    ]
    assert harm(checkup) == {"truncated", "unreadable"}


def test_an_exif_turn_is_told_from_another_size(shapes: Path, examine: Examine) -> None:
    """A mask that lies across because of EXIF is no mask of another size; one of half the size is."""
    image, mask = first(shapes, "images"), first(shapes, "masks")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(read(image)[:30]).save(image.with_suffix(".jpg"), exif=exif)
    image.unlink()
    write_image(mask, read(mask)[:30])
    half = first(shapes, "masks", at=1)
    write_image(half, read(half)[::2, ::2])
    checkup = examine(shapes)
    assert names(checkup["exif_rotation"]) == [f"train/masks/{mask.name}"]
    assert names(checkup["size_mismatch"]) == [f"train/masks/{half.name}"]
    assert checkup["size_mismatch"].cases[0].detail == "24 x 24 pixels, the image 48 x 48"


def test_image_and_mask_turned_alike_are_sound(shapes: Path, examine: Examine) -> None:
    """Where both are turned, or the mask was drawn upright, nothing is wrong."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image, mask = first(shapes, "images"), first(shapes, "masks")
    for path in (image, mask):
        Image.fromarray(read(path)[:30]).save(path, exif=exif)
    assert harm(examine(shapes)) == set()


def test_unknown_values_have_a_histogram_per_split(shapes: Path, examine: Examine) -> None:
    """Values no class has are told with their masks and pixels, split by split, and how to leave them out."""
    for split, value in (("train", 77), ("val", 99)):
        mask = first(shapes, "masks", split)
        write_image(mask, np.where(np.arange(48) < 3, np.uint8(value), read(mask)))
    checkup = examine(shapes)
    finding = checkup["unknown_values"]
    assert "train: 77 in 1 mask (144 px); val: 99 in 1 mask (144 px)" in finding.found
    assert finding.cases[0].detail == "77: 144 px"
    assert "ignore=[77, 99, 255]" in finding.advice
    assert harm(checkup) == {"unknown_values"}
    assert harm(examine(shapes, ignore=[77, 99, 255])) == set()


def test_unknown_colours_are_shown_as_colours(tmp_path: Path, examine: Examine) -> None:
    """In masks of colours, a strange colour is told as one."""
    for number in range(12):
        mask = np.zeros((8, 8, 3), np.uint8)
        mask[:4] = (200, 0, 0)
        mask[5] = (0, 200, 0)
        if number == 3:
            mask[7] = (1, 2, 3)
        write_image(
            tmp_path / f"images/{number}.png", np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
        )
        write_image(tmp_path / f"masks/{number}.png", mask)
    given = {"class_map": {"black": (0, 0, 0), "red": (200, 0, 0), "green": (0, 200, 0)}}
    finding = examine(tmp_path, **given)["unknown_values"]
    assert finding.cases[0].detail == "(1, 2, 3): 8 px"
    assert "ignore=[(1, 2, 3)]" in finding.advice


def test_a_slip_among_values_without_names(shapes: Path, examine: Examine) -> None:
    """Where classes have no names, a value far from all others, in a few pixels of a few masks, is suspicious."""
    (shapes / "classes.txt").unlink()
    mask = first(shapes, "masks")
    values = read(mask)
    values[0, :3] = 90
    write_image(mask, values)
    checkup = examine(shapes)
    assert names(checkup["rare_values"]) == [f"train/masks/{mask.name}"]
    assert "90 in 1 mask (3 px)" in checkup["rare_values"].found
    assert "ignore=[90, 255]" in checkup["rare_values"].advice


def test_values_without_gaps_are_no_slips(shapes: Path, examine: Examine) -> None:
    """A rare class that follows the others is a class."""
    (shapes / "classes.txt").unlink()
    values = read(first(shapes, "masks"))
    values[0, :3] = 4
    write_image(first(shapes, "masks"), values)
    assert "rare_values" not in examine(shapes)


def test_masks_stored_in_another_way(shapes: Path, examine: Examine) -> None:
    """Colours among ids do harm, a palette does not; both are told."""
    colored, paletted, white = (first(shapes, "masks", at=at) for at in range(3))
    write_image(colored, np.random.default_rng(0).integers(0, 255, (256, 3), np.uint8)[read(colored)])
    picture = Image.fromarray(read(paletted))
    picture.putpalette(list(range(256)) * 3)
    picture.save(paletted)
    write_image(white, np.where(read(white) == 0, np.uint8(0), np.uint8(255)))
    checkup = examine(shapes)
    assert names(checkup["mixed_encodings"]) == [f"train/masks/{colored.name}", f"train/masks/{paletted.name}"]
    assert checkup["mixed_encodings"].cases[1].detail == "stored as palette"
    assert names(checkup["black_and_white_masks"]) == [f"train/masks/{white.name}"]
    assert harm(checkup) == {"mixed_encodings", "black_and_white_masks"}
    assert checkup.classes == ("background", "disc", "square", "triangle")


def test_a_palette_among_grey_masks_is_a_note(shapes: Path, examine: Examine) -> None:
    """Grey and palette values are both ids."""
    paletted = first(shapes, "masks")
    picture = Image.fromarray(read(paletted))
    picture.putpalette(list(range(256)) * 3)
    picture.save(paletted)
    assert examine(shapes)["mixed_encodings"].severity == "note"


def paletted(mask: Path, colors: list[tuple[int, int, int]]) -> None:
    """Save a mask with a palette."""
    picture = Image.fromarray(read(mask))
    picture.putpalette([level for color in colors for level in color])
    picture.save(mask)


COLORS = [(0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200), *[(9, 9, at) for at in range(252)]]


def test_palettes_with_other_colours_for_the_same_values(shapes: Path, examine: Examine) -> None:
    """A palette in another order means other classes, the one with most changes first; unused colours do not count."""
    masks = sorted((shapes / "train/masks").iterdir())[:6]
    for mask in masks:
        paletted(mask, COLORS)
    assert "other_palettes" not in examine(shapes)
    paletted(masks[0], [*COLORS[:250], (1, 2, 3), *COLORS[251:]])
    assert "other_palettes" not in examine(shapes)
    write_image(masks[4], np.arange(48 * 48, dtype=np.int64).reshape(48, 48).astype(np.uint8) % 4)
    write_image(masks[5], np.arange(48 * 48, dtype=np.int64).reshape(48, 48).astype(np.uint8) % 4)
    paletted(masks[4], [COLORS[1], COLORS[0], *COLORS[2:]])
    paletted(masks[5], [COLORS[1], COLORS[0], COLORS[3], COLORS[2], *COLORS[4:]])
    finding = examine(shapes, classes=["background", "disc", "square", "triangle"])["other_palettes"]
    assert [str(case) for case in finding.cases] == [
        f"train/masks/{masks[5].name} (4 values of other colours)",
        f"train/masks/{masks[4].name} (2 values of other colours)",
    ]
    assert finding.severity == "error"


def test_palettes_whose_colours_are_the_classes(tmp_path: Path, examine: Examine) -> None:
    """Where every mask has a palette of its own order, colours are the classes, and nothing is wrong."""
    for number in range(8):
        image, mask = draw_shapes(48, np.random.default_rng(number))
        order = np.random.default_rng(number).permutation(4)
        write_image(tmp_path / f"images/{number}.png", image)
        write_image(tmp_path / f"masks/{number}.png", order[mask % 4].astype(np.uint8))
        paletted(tmp_path / f"masks/{number}.png", [COLORS[at] for at in np.argsort(order)])
    assert "other_palettes" not in examine(tmp_path)


def test_a_mask_that_was_quantised(shapes: Path, examine: Examine) -> None:
    """A palette whose greys are the class ids in another order is that of a mask reduced to few colours."""
    mask = first(shapes, "masks")
    greys = [(at, at, at) for at in range(256)]
    paletted(mask, greys)
    assert "other_palettes" not in examine(shapes)
    paletted(mask, [greys[0], *reversed(greys[1:4]), *greys[4:]])
    assert names(examine(shapes)["other_palettes"]) == [f"train/masks/{mask.name}"]
    paletted(mask, [(at * 60 % 251,) * 3 for at in range(256)])
    assert "other_palettes" not in examine(shapes)  # stretched, to be seen


def test_the_worst_masks_come_first(shapes: Path, black_and_white: Path, examine: Examine) -> None:
    """Cases are in the order of what makes them bad: strange pixels, levels of grey, merged shapes."""
    for at, count in enumerate((2, 20, 9)):
        mask = first(shapes, "masks", at=at)
        write_image(mask, np.where(np.arange(48) < count, np.uint8(77), read(mask)))
    cases = examine(shapes)["unknown_values"].cases
    assert [int(case.detail.split()[1]) for case in cases] == [48 * 20, 48 * 9, 48 * 2]
    for name, sigma in (("02", 1), ("05", 4), ("07", 2)):
        mask = black_and_white / f"masks/{name}.png"
        write_image(mask, cv2.GaussianBlur(read(mask), (0, 0), sigma))
    assert names(examine(black_and_white)["antialiased_masks"]) == [f"masks/{name}.png" for name in ("05", "07", "02")]
    for name, count in (("01", 1), ("03", 3)):
        mask = read(black_and_white / f"masks/{name}.png")
        for at in range(count):
            mask[32:38, 3 + 10 * at : 10 + 10 * at] = 255
        write_image(black_and_white / f"masks/{name}.png", mask)
    assert names(examine(black_and_white, instances=True)["merged_objects"])[0] == "masks/03.png"


def test_smoothed_masks_of_ids_are_an_error(shapes: Path, examine: Examine) -> None:
    """Levels between ids mean other classes, or none."""
    mask = first(shapes, "masks")
    write_image(mask, cv2.resize(cv2.resize(read(mask) * 60, (17, 17)), (48, 48), interpolation=cv2.INTER_CUBIC))
    checkup = examine(shapes)
    assert names(checkup["antialiased_masks"]) == [f"train/masks/{mask.name}"]
    assert harm(checkup) == {"antialiased_masks"}


def test_smoothed_masks_of_one_class_are_a_note(black_and_white: Path, examine: Examine) -> None:
    """Smooth edges of black and white are read exactly enough."""
    mask = black_and_white / "masks/03.png"
    write_image(mask, cv2.GaussianBlur(read(mask), (0, 0), 2.5))
    checkup = examine(black_and_white)
    assert names(checkup["antialiased_masks"]) == ["masks/03.png"]
    assert checkup["antialiased_masks"].severity == "note"


def test_jpeg_masks_of_one_class_and_of_several(shapes: Path, black_and_white: Path, examine: Examine) -> None:
    """Black and white survive JPEG, ids do not."""
    for folder, name in ((black_and_white, "masks/03.png"), (shapes, f"train/masks/{first(shapes, 'masks').name}")):
        path = folder / name
        Image.fromarray(read(path) if folder == black_and_white else read(path) * 60).save(path.with_suffix(".jpg"))
        path.unlink()
    restored, refused = examine(black_and_white)["jpeg_masks"], examine(shapes)["jpeg_masks"]
    assert (restored.severity, names(restored)) == ("warning", ["masks/03.jpg"])
    assert refused.severity == "error"
    assert "pixels are grey" in refused.cases[0].detail


def test_empty_and_void_masks(shapes: Path, examine: Examine) -> None:
    """Background alone may have been forgotten, nothing that counts teaches nothing."""
    empty, void = first(shapes, "masks"), first(shapes, "masks", at=1)
    write_image(empty, np.zeros((48, 48), np.uint8))
    write_image(void, np.full((48, 48), 255, np.uint8))
    checkup = examine(shapes)
    assert names(checkup["empty_masks"]) == [f"train/masks/{empty.name}"]
    assert checkup["empty_masks"].found.startswith("1 mask that shows background only")
    assert names(checkup["void_masks"]) == [f"train/masks/{void.name}"]
    assert harm(checkup) == {"empty_masks", "void_masks"}


def test_many_empty_masks_are_the_subjects_nature(black_and_white: Path, examine: Examine) -> None:
    """Where every fifth mask is empty, that is told and no harm."""
    for name in ("03", "04"):
        write_image(black_and_white / f"masks/{name}.png", np.zeros((40, 50), np.uint8))
    assert examine(black_and_white)["empty_masks"].severity == "note"


def test_nothing_but_background_is_an_error(black_and_white: Path, examine: Examine) -> None:
    """By then it is no matter of the subject's nature."""
    for path in (black_and_white / "masks").iterdir():
        write_image(path, np.zeros_like(read(path)))
    finding = examine(black_and_white, class_map={"roof": 255}, task="binary")["empty_masks"]
    assert finding.severity == "error"
    assert finding.found == "All 10 masks show background only, so there is nothing to learn."
    for folder in ("images", "masks"):
        for path in sorted((black_and_white / folder).iterdir())[1:]:
            path.unlink()
    only = examine(black_and_white, class_map={"roof": 255}, task="binary")["empty_masks"]
    assert only.found == "The only mask shows background only, so there is nothing to learn."


def test_empty_masks_of_overlapping_classes(tmp_path: Path, examine: Examine) -> None:
    """An image is empty only where none of its classes is."""
    for number in range(30):
        image, mask = draw_shapes(32, np.random.default_rng(number))
        write_image(tmp_path / f"images/{number:02}.png", image)
        for name in ("a", "b"):
            plane = np.zeros_like(mask) if number == 7 or (number == 8 and name == "a") else (mask == 0) * np.uint8(255)
            write_image(tmp_path / f"masks/{name}/{number:02}.png", plane)
    checkup = examine(tmp_path)
    assert checkup.classes == ("a", "b")
    assert names(checkup["empty_masks"]) == ["masks/a/07.png"]


def test_masks_of_zeros_where_no_class_is_a_background(tmp_path: Path, examine: Examine) -> None:
    """Without a background among the names, a mask of 0 alone is suspicious all the same."""
    for number in range(30):
        image, mask = draw_shapes(32, np.random.default_rng(number))
        write_image(tmp_path / f"images/{number:02}.png", image)
        write_image(tmp_path / f"masks/{number:02}.png", mask * (number != 7))
    checkup = examine(tmp_path, classes=["sky", "disc", "square", "triangle"])
    assert names(checkup["empty_masks"]) == ["masks/07.png"]


def test_absent_classes_are_told_by_split(shapes: Path, examine: Examine) -> None:
    """A class that only some splits have is told with those that lack it; one that is nowhere does no harm."""
    for mask in (shapes / "val/masks").iterdir():
        values = read(mask)
        write_image(mask, np.where(values == 3, np.uint8(0), values))
    (shapes / "classes.txt").write_text("background\ndisc\nsquare\ntriangle\nstar\n")
    checkup = examine(shapes, ignore=[255])
    details = {case.name: case.detail for case in checkup["absent_classes"].cases}
    assert details["triangle"].startswith("not in val; in ")
    assert "images of train" in details["triangle"]
    assert "star" not in details
    assert names(checkup["unused_classes"]) == ["star"]
    assert checkup["unused_classes"].severity == "note"


def test_rare_classes_come_with_weights(tmp_path: Path, examine: Examine) -> None:
    """A class of few pixels is told with the weights that make up for it."""
    for number in range(12):
        mask = np.ones((40, 40), np.uint8)
        mask[:2], mask[0, :10] = 0, 2
        write_image(tmp_path / f"images/{number}.png", draw_shapes(40, np.random.default_rng(number))[0])
        write_image(tmp_path / f"masks/{number}.png", mask)
    finding = examine(tmp_path, classes=["wall", "floor", "lamp"])["class_imbalance"]
    assert names(finding) == ["lamp"]
    dataset = load_dataset(tmp_path, classes=["wall", "floor", "lamp"])
    assert finding.cases[0].detail.endswith(f"balanced weight {balanced_class_weights(dataset.split('train'))[2]:.2f}")
    assert "class_weights='balanced'" in finding.advice
    assert finding.severity == "note"


def test_rare_classes_that_stand_for_themselves_have_their_own_weights(tmp_path: Path, examine: Examine) -> None:
    """With a mask for each class, a class is weighed against its background, as a training does."""
    for number in range(12):
        for name, rows in (("wall", 12), ("lamp", 1)):
            mask = np.zeros((40, 40), np.uint8)
            mask[:rows, : 40 if name == "wall" else 4] = 255
            write_image(tmp_path / f"masks/{name}/{number}.png", mask)
        write_image(tmp_path / f"images/{number}.png", draw_shapes(40, np.random.default_rng(number))[0])
    finding = examine(tmp_path)["class_imbalance"]
    train = load_dataset(tmp_path, split="train")
    assert train.task == "multilabel"
    weight = balanced_class_weights(train)[train.classes.index("lamp")]
    assert [str(case) for case in finding.cases] == [f"lamp (0.83% of the pixels, balanced weight {weight:.2f})"]


def test_images_of_one_colour(shapes: Path, examine: Examine) -> None:
    """A picture of a lens cap is found, and no other."""
    image = first(shapes, "images")
    write_image(image, np.full((48, 48, 3), 17, np.uint8))
    checkup = examine(shapes)
    assert names(checkup["constant_images"]) == [f"train/images/{image.name}"]
    assert harm(checkup) == {"constant_images"}


def test_images_of_16_bit_among_bytes(shapes: Path, examine: Examine) -> None:
    """One image of other numbers stops a training; where all hold them, they are scaled and nothing is wrong."""
    images = sorted(shapes.glob("*/images/*.png"))
    for number, image in enumerate(images):
        grey = read(image)[..., 0].astype(np.int64)
        write_image(image, (grey * 4095 // 255).astype(np.uint16))
        if number == 0:
            checkup = examine(shapes)
            (case,) = checkup["mixed_numbers"].cases
            assert (
                str(case)
                == f"{image.relative_to(shapes).as_posix()} (integers, the highest {grey.max() * 4095 // 255})"
            )
            assert "value_range=(low, high)" in checkup["mixed_numbers"].advice
            assert harm(checkup) == {"mixed_numbers"}
    assert "mixed_numbers" not in examine(shapes)


def test_equal_files_in_one_split_and_in_two(shapes: Path, examine: Examine) -> None:
    """A file twice in a split is a warning, in two splits an error."""
    for kind in ("images", "masks"):
        shutil.copy(first(shapes, kind), shapes / f"train/{kind}/zz_twice.png")
        shutil.copy(first(shapes, kind, "val"), shapes / f"train/{kind}/zz_leak.png")
    checkup = examine(shapes)
    image, leak = first(shapes, "images").name, first(shapes, "images", "val").name
    assert names(checkup["duplicates"]) == [f"train/images/{image} = train/images/zz_twice.png"]
    assert names(checkup["leaks"]) == [f"train/images/zz_leak.png = val/images/{leak}"]
    assert harm(checkup) == {"duplicates", "leaks"}


def test_one_image_with_two_annotations(shapes: Path, examine: Examine) -> None:
    """The same file with another mask is told, with an equal mask it is not."""
    image, mask = first(shapes, "images"), first(shapes, "masks")
    shutil.copy(image, image.with_name("zz_twice.png"))
    write_image(mask.with_name("zz_twice.png"), np.roll(read(mask), 9, axis=1))
    checkup = examine(shapes)
    assert names(checkup["conflicting_annotations"]) == [f"train/images/{image.name} = train/images/zz_twice.png"]
    assert checkup["conflicting_annotations"].severity == "error"
    shutil.copy(mask, mask.with_name("zz_twice.png"))
    assert "conflicting_annotations" not in examine(shapes)
    write_image(mask.with_name("zz_twice.png"), read(mask)[:40])
    assert "conflicting_annotations" in examine(shapes)
    mask.with_name("zz_twice.png").write_bytes(b"")
    assert "conflicting_annotations" not in examine(shapes)


def test_near_copies_in_one_split_and_in_two(shapes: Path, examine: Examine) -> None:
    """A mirrored copy in another split is a leak, a compressed one in the same split a duplicate; or not looked for."""
    for origin, name, step in (("val", "zz_leak", -1), ("train", "zz_twice", 1)):
        pixels, mask = read(first(shapes, "images", origin)), read(first(shapes, "masks", origin))
        Image.fromarray(np.ascontiguousarray(pixels[:, ::step])).save(shapes / f"train/images/{name}.jpg", quality=85)
        write_image(shapes / f"train/masks/{name}.png", np.ascontiguousarray(mask[:, ::step]))
    checkup = examine(shapes)
    leak, twice = first(shapes, "images", "val").name, first(shapes, "images").name
    assert [str(case) for case in checkup["near_leaks"].cases] == [
        f"train/images/zz_leak.jpg = val/images/{leak} (mirrored, train and val)"
    ]
    assert names(checkup["near_duplicates"]) == [f"train/images/{twice} = train/images/zz_twice.jpg"]
    assert harm(checkup) == {"near_leaks", "near_duplicates"}
    assert harm(examine(shapes, near_duplicates=False)) == set()


def frames(folder: Path, count: int, split: str, start: int = 0) -> None:
    """Write frames of a video in which hardly anything happens."""
    image, mask = draw_shapes(64, np.random.default_rng(5))
    for number in range(start, start + count):
        noisy = image + np.random.default_rng(number).normal(0, 2, image.shape)
        write_image(folder / split / f"images/video_{number:03}.png", noisy.clip(0, 255).astype(np.uint8))
        write_image(folder / split / f"masks/video_{number:03}.png", mask)


def test_frames_of_a_video_do_not_flood(shapes: Path, examine: Examine) -> None:
    """Frames within a split are one note, not hundreds of pairs; in two splits they are one warning."""
    frames(shapes, 8, "train")
    checkup = examine(shapes)
    assert harm(checkup) == set()
    assert checkup["series"].count == 1
    assert "8 images in all" in checkup["series"].found
    frames(shapes, 4, "val", start=8)
    checkup = examine(shapes)
    assert harm(checkup) == {"series_leaks"}
    assert checkup["series_leaks"].count == 1
    assert checkup["series_leaks"].cases[0].detail == "12 images"


def test_two_neighbouring_frames_are_a_series(shapes: Path, examine: Examine) -> None:
    """Where names count on and pictures follow each other, two of them are frames, too."""
    frames(shapes, 2, "train")
    checkup = examine(shapes)
    assert harm(checkup) == set()
    assert checkup["series"].count == 1


def test_several_objects_drawn_as_one(black_and_white: Path, examine: Examine) -> None:
    """For instances, masks in which one value covers separate shapes are told; for classes they are fine."""
    for name in ("03", "04"):
        mask = read(black_and_white / f"masks/{name}.png")
        mask[30:38, 35:45] = 255
        mask[0, 49] = 255  # a speck is no object
        write_image(black_and_white / f"masks/{name}.png", mask)
    assert harm(examine(black_and_white)) == set()
    finding = examine(black_and_white, instances=True)["merged_objects"]
    assert [str(case) for case in finding.cases] == [
        f"masks/{name}.png (2 separate shapes of 'foreground')" for name in ("03", "04")
    ]
    assert finding.severity == "warning", "a detector takes connected regions for objects"
    assert "connected" in finding.advice


def test_objects_too_small_for_the_training_size(tmp_path: Path, examine: Examine) -> None:
    """Objects that vanish at the size the network sees are told; at a larger size they are not."""
    for number in range(4):
        mask = np.zeros((600, 600), np.uint8)
        for at in range(0, 600, 60):
            mask[at : at + 8, at : at + 8] = 1
        mask[300:, :200] = 2
        image = draw_shapes(75, np.random.default_rng(number))[0].repeat(8, 0).repeat(8, 1)
        write_image(tmp_path / f"images/{number}.png", image)
        write_image(tmp_path / f"masks/{number}.png", mask)
    given = {"classes": ["ground", "bolt", "plate"]}
    finding = examine(tmp_path, image_size=128, **given)["tiny_objects"]
    assert names(finding) == ["bolt"]
    assert "1.7 pixels" in finding.cases[0].detail
    assert "tiny_objects" not in examine(tmp_path, image_size=512, **given)


def roof(*points: tuple[float, float], is_relative: bool = False) -> LabelledObject:
    """Return an object with one outline."""
    return LabelledObject("roof", Polygons(((np.array(points, float),),), is_relative=is_relative))


def test_faults_of_polygons() -> None:
    """Polygons that enclose nothing, cross themselves or leave the image are told with their object."""
    sound = roof((1, 1), (9, 1), (9, 9))
    door = LabelledObject("door", MaskPart(np.eye(20, dtype=np.uint8)))
    outlines = [
        (sound, roof((1, 1), (2, 2))),
        (roof((1, 1), (9, 9), (9, 1), (1, 9)),),
        (roof((0.5, 0.5), (1.5, 0.5), (1.5, 0.9), is_relative=True),),
        (roof((4, 4), (6, 6), (8, 8)), door),
    ]
    image = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), dtype=np.uint8)
    samples = [Sample(pixels, objects=objects) for pixels, objects in zip(image, outlines, strict=True)]
    found = as_dataset(samples).check(verbose=False)
    assert [case.detail.split(":")[0] for case in found["degenerate_polygons"].cases] == [
        "object 2, roof",
        "object 1, roof",
    ]
    assert [case.samples for case in found["degenerate_polygons"].cases] == [(0,), (3,)]
    assert [case.samples for case in found["crossing_polygons"].cases] == [(1,)]
    assert [case.samples for case in found["outside_polygons"].cases] == [(2,)]
    assert [found[kind].severity for kind in POLYGON_FINDINGS] == ["warning", "note", "warning"]
    assert found["crossing_polygons"].found == "1 polygon whose outline crosses itself."


POLYGON_FINDINGS = ("degenerate_polygons", "crossing_polygons", "outside_polygons")


def labelme_folder(folder: Path, outlines: dict[str, list[list[list[float]]]]) -> Path:
    """Write images of noise, 40 x 50 pixels, with outlines of roofs in labelme files."""
    generator = np.random.default_rng(0)
    for name, shapes in outlines.items():
        write_image(folder / f"{name}.png", generator.integers(0, 256, (40, 50, 3), dtype=np.uint8))
        fields = {"imagePath": f"{name}.png", "imageHeight": 40, "imageWidth": 50, "version": "5.0.0", "flags": {}}
        found = [{"label": "roof", "points": points, "shape_type": "polygon", "flags": {}} for points in shapes]
        (folder / f"{name}.json").write_text(json.dumps({**fields, "imageData": None, "shapes": found}))
    return folder


SQUARE = [[5.0, 5.0], [25.0, 5.0], [25.0, 25.0], [5.0, 25.0]]


def test_datasets_of_objects_are_examined(tmp_path: Path, examine: Examine) -> None:
    """Their masks are drawn: classes have shares, images without objects are empty, and pages show overlays."""
    outlines = {f"{at:02}": [SQUARE] for at in range(30)}
    folder = labelme_folder(tmp_path / "roofs", {**outlines, "30": [], "31": [[[9, 9], [30, 30], [30, 9], [9, 30]]]})
    checkup = examine(folder, html=tmp_path / "page.html")
    assert (checkup.num_images, checkup.num_masks) == (32, 32)
    assert names(checkup["crossing_polygons"]) == ["31.png"]
    assert names(checkup["empty_masks"]) == ["30.png"]
    assert checkup.classes == ("roof",)
    assert sum(share.pixels for share in checkup.class_shares) == pytest.approx(30 * 400 + 220, abs=30)
    page = (tmp_path / "page.html").read_text()
    assert page.count('alt="mask on image"') == 1
    assert page.count('alt="object 1, closely"') == 1
    assert "merged_objects" not in examine(folder, instances=True)


def test_annotations_that_cannot_be_used_are_found(tmp_path: Path, examine: Examine) -> None:
    """What `load_dataset` stops at is a finding, and the rest is examined."""
    folder = labelme_folder(tmp_path / "roofs", {f"{at:02}": [SQUARE] for at in range(6)})
    (folder / "03.png").unlink()
    (folder / "04.json").write_text('{"version": "5.0.0", "shapes": [{')
    checkup = examine(folder)
    assert harm(checkup) == {"unusable_samples"}
    assert sorted(names(checkup["unusable_samples"])) == ["03.json", "04.json"]
    assert checkup.num_masks == 4
    assert "on_bad_sample='skip'" in checkup["unusable_samples"].advice
    assert harm(examine(folder, on_bad_sample="skip")) == {"unusable_samples"}


def test_a_refusal_that_no_check_explains_is_told(shapes: Path, examine: Examine) -> None:
    """A dataset that cannot be loaded is never healthy."""
    checkup = examine(shapes, value_range=[(0.0, 255.0), (0.0, 255.0)], classes=["a", "b"])
    assert not checkup.is_healthy


def test_rasters_of_many_bands_are_examined(tmp_path: Path, examine: Examine) -> None:
    """Copies and images of one colour are found among numbers of any kind."""
    generator = np.random.default_rng(0)
    for at in range(8):
        bands = generator.integers(0, 3000, (8, 8, 5)).repeat(6, 0).repeat(6, 1).astype(np.uint16)
        bands = np.full_like(bands, 700) if at == 3 else bands
        (tmp_path / "fields/images").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"fields/images/{at}.tif").write_bytes(tiff_bytes(bands))
        mask = np.zeros((48, 48), np.uint8)
        mask[8 : 20 + at, 8:30] = 1
        write_image(tmp_path / f"fields/masks/{at}.png", mask)
    shutil.copy(tmp_path / "fields/images/0.tif", tmp_path / "fields/images/5.tif")
    checkup = examine(tmp_path / "fields")
    assert harm(checkup) - {"leaks", "duplicates", "conflicting_annotations"} == {"constant_images"}
    assert {"leaks", "duplicates"} & harm(checkup)
    assert names(checkup["constant_images"]) == ["images/3.tif"]


def test_data_from_memory_can_be_examined() -> None:
    """Arrays have no files to be broken; everything else is looked at."""
    drawn = [draw_shapes(40, np.random.default_rng(number)) for number in range(8)]
    images = np.stack([image for image, _ in drawn])
    images[5] = images[2]
    masks = np.stack([mask for _, mask in drawn])
    checkup = as_dataset((images, masks), ignore=[255]).check(verbose=False)
    assert names(checkup["duplicates"]) == ["array 2 = array 5"]
    assert checkup.name == "data from memory"
    assert checkup.splits == {}


def test_every_finding_says_what_to_do(planting: Any, tmp_path: Path) -> None:
    """A sentence that was found, with a number, and one that helps."""
    copy = planting.copy_of("shapes", tmp_path / "drawn", tmp_path / "copy", limit=60)
    for plant, _, _ in planting.KINDS.values():
        plant(copy)
    checkup = planting.examine_folder(copy.root, copy.settings, planting.CheckSettings(verbose=False, workers=0))
    assert len(checkup) > 15
    for finding in checkup:
        assert finding.found[0].isalnum()
        assert finding.found.endswith(".")
        assert finding.advice.endswith((".", "train as well."))
        assert finding.count >= len(finding.cases) > 0


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path, examine: Examine) -> None:
    """Without images and masks there is nothing to examine."""
    with pytest.raises(FormatError, match="no dataset format fits"):
        examine(tmp_path)
    with pytest.raises(DataError, match="no folder"):
        examine(tmp_path / "gone")


def test_objects_of_overlapping_classes_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each class, which would take the square of their number."""
    drawn: list[Sample] = []
    real = sources.read_target

    def counted(sample: Sample, *arguments: Any) -> Any:
        drawn.append(sample)
        return real(sample, *arguments)

    monkeypatch.setattr(sources, "read_target", counted)
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    objects = [LabelledObject(name, roof((1, 1), (9, 1), (9, 9)).shape) for name in "abcdefgh"]
    checkup = as_dataset([Sample(image, objects=objects)], task="multilabel").check(verbose=False)
    assert checkup.num_masks == 8
    assert len(drawn) <= 2  # once for the values, once for the shapes


def test_annotations_of_another_image_are_not_called_unreadable(tmp_path: Path, examine: Examine) -> None:
    """The files are sound; and where the image is broken, its annotation is not blamed, too."""
    folder = labelme_folder(tmp_path / "roofs", {f"{at:02}": [SQUARE] for at in range(6)})
    text = (folder / "02.json").read_text()
    (folder / "02.json").write_text(text.replace('"imageHeight": 40', '"imageHeight": 80'))
    data = (folder / "04.png").read_bytes()
    (folder / "04.png").write_bytes(data[: len(data) // 2])
    checkup = examine(folder)
    assert names(checkup["unusable_annotations"]) == ["02.png"]
    assert "80" in checkup["unusable_annotations"].cases[0].detail
    assert names(checkup["truncated"]) == ["04.png"]
    assert harm(checkup) == {"unusable_annotations", "truncated"}


def test_what_helps_with_a_file_is_told(shapes: Path, examine: Examine) -> None:
    """A pointer of Git LFS comes with the command that fetches the file."""
    first(shapes, "images").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "git lfs pull" in examine(shapes)["unreadable"].advice


def test_exchanged_folders_are_told(tmp_path: Path, examine: Examine) -> None:
    """Nobody is sent to save photos anew as masks."""
    generator = np.random.default_rng(0)
    for at in range(8):
        mask = np.zeros((40, 40), np.uint8)
        mask[5 : 20 + at, 5:20] = 1 + at % 3
        write_image(tmp_path / f"a/{at}.png", mask)
        write_image(tmp_path / f"b/{at}.png", generator.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    checkup = examine(tmp_path, images="a", masks="b")
    assert next(iter(checkup)).kind == "exchanged_folders"
    assert checkup["exchanged_folders"].advice == "Exchange them: type images='b', masks='a'."
    assert "exchanged_folders" not in examine(tmp_path, images="b", masks="a")


def test_a_wrong_argument_is_not_the_datasets_fault(shapes: Path, examine: Examine) -> None:
    """Names of objects are no values of masks; that is an error of whoever typed them."""
    with pytest.raises(ClassMapError, match="names are for datasets of objects"):
        examine(shapes, ignore=["sky"])


def test_advice_on_ignoring_is_complete_or_missing(shapes: Path, examine: Examine) -> None:
    """It holds what is left out already, and no half of a list, which would be typed as it stands."""
    mask = first(shapes, "masks")
    write_image(mask, np.where(np.arange(48) < 20, (np.arange(48) + 60).astype(np.uint8), read(mask)))
    advice = examine(shapes, ignore=[60])["unknown_values"].advice
    assert f"ignore={[*range(60, 80), 255]}" in advice
    write_image(mask, np.where(np.arange(48) < 40, (np.arange(48) + 60).astype(np.uint8), read(mask)))
    advice = examine(shapes)["unknown_values"].advice
    assert "ignore=" not in advice
    assert "class_map={..., 'other': 'rest'}" in advice
