"""The doctor as a whole: how many planted faults it finds, and that it raises no false alarm."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easyseg import load_dataset
from easyseg.config import CheckSettings
from easyseg.data.check.doctor import examine_folder
from easyseg.data.check.survey import CHECKS
from easyseg.data.shapes import draw_shapes
from easyseg.errors import ConfigError, OutputError
from easyseg.io.images import write_image

NEAR = ("near duplicate", "near leak")
CAMVID = [
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
]  # fmt: skip


def check_scores(scores: dict[str, Any], planted: int) -> None:
    """All of the exact kinds are found, 95 % of the near copies, and of what is said at least 95 % is so."""
    for kind, score in scores.items():
        assert score.planted == planted
        assert score.found >= (0.95 if kind in NEAR else 1) * planted, (kind, score.missed)
    stray = {name for score in scores.values() for name in score.stray}
    assert len(stray) <= 0.05 * sum(scores[kind].planted for kind in NEAR), stray


def test_faults_planted_in_drawn_data(planting: Any, tmp_path: Path) -> None:
    """Three faults of each kind, planted in small drawn datasets, are all found, and nothing else is."""
    scores = planting.drawn_trial(tmp_path, 3)
    for kind, score in scores.items():
        assert (score.found, score.missed) == (3, []), kind
        assert score.stray == [], kind


def test_a_sample_of_faults_planted_in_real_data(planting: Any, shared_data: Path) -> None:
    """Five faults of each kind, planted in a part of the real datasets, are found."""
    check_scores(planting.trial(shared_data, 5, limit=45), 5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_all_faults_planted_in_real_data(planting: Any, shared_data: Path, seed: int) -> None:
    """Of 25 faults of each of 24 kinds, planted in copies of real datasets, all of the exact kinds are found."""
    scores = planting.trial(shared_data, 25, seed=seed)
    for kind, score in scores.items():
        print(f"{kind}: {score.found} of {score.planted}, {len(score.stray)} stray")
    check_scores(scores, 25)


@pytest.mark.slow
def test_near_copies_of_real_images(planting: Any, shared_data: Path, tmp_path: Path) -> None:
    """Of hundreds of scaled, compressed, cut, mirrored and lightened copies, 95 % are found, with 95 % precision."""
    planted, found, reported, stray = 0, 0, 0, 0
    for name, count in (("camvid", 200), ("pennfudan", 40), ("isbi", 28), ("aerial", 18)):
        copy = planting.copy_of(name, shared_data, tmp_path / name, seed=7)
        names = [planting.near_duplicate(copy) for _ in range(count)]
        checkup = examine_folder(copy.root, copy.settings, CheckSettings(verbose=False))
        pairs = planting.names_in(checkup, ("near_duplicates", "near_leaks", "series_leaks"))
        planted += count
        found += sum(any(name in pair for pair in pairs) for name in names)
        reported += len(pairs)
        stray += sum(not set(pair) & set(names) for pair in pairs)
    print(f"near copies: {found} of {planted} found, {stray} of {reported} reported pairs are none")
    assert found >= 0.95 * planted
    assert stray <= 0.05 * reported


@pytest.mark.parametrize(
    ("name", "given", "notes"),
    [
        ("camvid", {"classes": CAMVID, "ignore": [11]}, {"class_imbalance", "series"}),
        ("pennfudan", {"classes": ["person"], "task": "binary"}, set()),
        ("isbi2012_membrane", {}, set()),
        ("aerial_buildings", {}, {"empty_masks"}),
    ],
)
def test_no_false_alarm_on_real_data(shared_data: Path, name: str, given: dict[str, Any], notes: set[str]) -> None:
    """Sound datasets are healthy; their notes are what is known of them."""
    checkup = examine_folder(shared_data / name, given, CheckSettings(verbose=False))
    assert checkup.is_healthy, str(checkup)
    assert {finding.kind for finding in checkup} == notes


def test_a_mask_that_was_published_under_two_images(shared_data: Path) -> None:
    """Two tiles of the rooftops show different houses and have the same mask; nothing else is wrong."""
    checkup = examine_folder(shared_data / "rooftops", {}, CheckSettings(verbose=False))
    assert {finding.kind for finding in checkup} == {"antialiased_masks", "repeated_masks"}
    assert [case.name for case in checkup["repeated_masks"].cases] == ["train/labels/270.png = train/labels/278.png"]


def test_masks_that_number_objects_are_objects(shared_data: Path) -> None:
    """Their numbers are no classes, and nothing is wrong with them."""
    checkup = examine_folder(shared_data / "pennfudan", {"format": "instance_ids"}, CheckSettings(verbose=False))
    assert list(checkup) == []
    assert checkup.classes == ("object",)
    assert checkup.num_masks == 43
    assert 0 < checkup.class_shares[0].share < 0.5


def test_a_dataset_can_be_checked_from_python(shapes: Path, tmp_path: Path) -> None:
    """`Dataset.check` gives the findings and writes the report."""
    checkup = load_dataset(shapes).check(html=tmp_path / "report.html", verbose=False, image_size=64)
    assert checkup.is_healthy
    assert checkup.num_images == checkup.num_masks == 24
    assert "Checkup of shapes" in (tmp_path / "report.html").read_text()


def test_settings_out_of_range_are_refused(shapes: Path, tmp_path: Path) -> None:
    """A wrong setting is refused before any file is read, a report in a place that is none after."""
    with pytest.raises(ConfigError, match="image_size"):
        load_dataset(shapes).check(image_size=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        load_dataset(shapes).check(html=tmp_path / "file/report.html", verbose=False)


def test_processes_find_what_threads_find(planting: Any, tmp_path: Path) -> None:
    """However the files are read, the findings are the same."""
    copy = planting.copy_of("shapes", tmp_path / "drawn", tmp_path / "copy", limit=60)
    for plant, _, _ in planting.KINDS.values():
        plant(copy)
    checkups = [
        examine_folder(copy.root, copy.settings, CheckSettings(verbose=False, workers=workers)) for workers in (0, 2)
    ]
    assert checkups[0].findings == checkups[1].findings


def test_a_split_can_be_examined_alone(shapes: Path) -> None:
    """With split=, only its images are looked at, broken or not."""
    (shapes / "val/masks").joinpath(sorted((shapes / "val/masks").iterdir())[0].name).write_bytes(b"")
    assert examine_folder(shapes, {"split": "train"}, CheckSettings(verbose=False)).num_images == 16
    checkup = examine_folder(shapes, {"split": "val"}, CheckSettings(verbose=False))
    assert checkup.splits == {"val": 4}
    assert checkup["unreadable"].count == 1


def test_nothing_readable_at_all(tmp_path: Path) -> None:
    """Where every file is broken, that is what is said."""
    for number in range(3):
        write_image(tmp_path / f"images/{number}.png", np.zeros((4, 4, 3), np.uint8))
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / f"masks/{number}.png").write_bytes(b"nothing")
    checkup = examine_folder(tmp_path, {}, CheckSettings(verbose=False))
    assert checkup["unreadable"].count == 3
    assert checkup.classes == ()


def test_checks_have_names() -> None:
    """Every check is registered once, under a name of its own."""
    assert len(CHECKS) >= 14
    assert all(check.__doc__ for check in CHECKS.values())


def test_reports_are_never_written_into_the_dataset(shapes: Path, tmp_path: Path, tree_of: Any) -> None:
    """It is refused before time is spent on the checkup, and so is a place that cannot be written to."""
    before = tree_of(shapes)
    settings = CheckSettings(verbose=False)
    for place in (shapes / "report.html", shapes / "train" / "report.html", tmp_path / ".." / shapes / "r.html"):
        with pytest.raises(OutputError, match="lies in the dataset"):
            examine_folder(shapes, {}, settings, html=place)
    with pytest.raises(OutputError, match="cannot be written"):
        examine_folder(shapes, {}, settings, html=tmp_path)
    assert tree_of(shapes) == before


def test_healthy_means_that_a_training_begins(tmp_path: Path, shapes: Path) -> None:
    """A dataset without training images, or with objects that do not fit their image, is not healthy."""
    shutil.rmtree(shapes / "train")
    checkup = examine_folder(shapes, {"ignore": [255]}, CheckSettings(verbose=False))
    assert "split 'train'" in checkup["refused"].found
    for at in range(8):
        write_image(tmp_path / f"numbered/images/{at}.png", draw_shapes(40, np.random.default_rng(at))[0])
        numbers = np.zeros((40, 40), np.uint8)
        numbers[2:9, 2:9], numbers[20:30, 20:30] = 1, 2
        write_image(tmp_path / f"numbered/masks/{at}.png", numbers if at != 3 else numbers[::2, ::2])
    checkup = examine_folder(tmp_path / "numbered", {"format": "instance_ids"}, CheckSettings(verbose=False))
    assert not checkup.is_healthy
    assert any("3.png" in str(finding) for finding in checkup)


def test_what_spoils_most_is_told_first(planting: Any, tmp_path: Path) -> None:
    """Errors before warnings before notes, and among these what hides the others or spoils the labels."""
    copy = planting.copy_of("shapes", tmp_path / "drawn", tmp_path / "copy", limit=60)
    for plant, _, _ in planting.KINDS.values():
        plant(copy)
    checkup = examine_folder(copy.root, copy.settings, CheckSettings(verbose=False))
    kinds = [finding.kind for finding in checkup]
    order = ["error", "warning", "note"]
    severities = [order.index(finding.severity) for finding in checkup]
    assert severities == sorted(severities)
    assert kinds.index("unreadable") < kinds.index("size_mismatch") < kinds.index("leaks")


def test_what_may_be_misread_is_told(shared_data: Path, tmp_path: Path) -> None:
    """A class that may be the black part: in the text, and with all else about the reading on the page."""
    folder = shared_data / "isbi2012_membrane"
    checkup = examine_folder(folder, {}, CheckSettings(verbose=False), html=tmp_path / "page.html")
    assert checkup.is_healthy
    assert "is taken for 'foreground'; if the class is the black part (0), type" in str(checkup)
    assert "Ready to train" not in str(checkup)
    page = (tmp_path / "page.html").read_text()
    assert "How the data was read" in page
    assert "Read as folders, binary: 0/255 masks" in page


def test_objects_of_the_first_class_are_no_background(tmp_path: Path) -> None:
    """Without names, YOLO's class 0 is called class_0, as the background of nameless masks is."""
    for at in range(8):
        write_image(tmp_path / f"images/{at}.png", draw_shapes(48, np.random.default_rng(at))[0])
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{at}.txt").write_text(f"{at % 2} 0.1 0.1 0.7 0.1 0.7 0.{5 + at % 4}\n")
    checkup = examine_folder(tmp_path, {}, CheckSettings(verbose=False))
    assert "class_0" in checkup.classes
    assert "empty_masks" not in checkup
