"""Frames of a video that were divided between splits at random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from easyseg.data.check.digest import digest_images
from easyseg.data.check.frames import numbered_runs, scattered_frames
from easyseg.data.check.survey import split_numbers
from easyseg.data.shapes import draw_shapes
from easyseg.io.images import write_image
from easyseg.results import Checkup
from easyseg.structures import Sample

Examine = Callable[..., Checkup]


def video(folder: Path, splits: str, *, moves: int = 2, stem: str = "frame_") -> None:
    """Write frames over which a scene moves, into train where `splits` has a "t", else into val."""
    scene, mask = draw_shapes(256, np.random.default_rng(5))
    scene = cv2.GaussianBlur(scene, (0, 0), 4)
    for number, letter in enumerate(splits):
        split, left = "train" if letter == "t" else "val", moves * number
        write_image(folder / split / f"images/{stem}{number}.png", scene[:96, left : left + 96].copy())
        write_image(folder / split / f"masks/{stem}{number}.png", mask[:96, left : left + 96].copy())


def test_frames_divided_at_random(tmp_path: Path, examine: Examine) -> None:
    """Neighbours in two splits are told in pairs, in the order of their numbers, not of their names."""
    video(tmp_path, "ttvttvtttttvttvt")
    finding = examine(tmp_path, near_duplicates=False)["scattered_frames"]
    assert finding.count == 8
    assert finding.cases[0].name == "train/images/frame_1.png = val/images/frame_2.png"
    assert finding.cases[-1].name == "val/images/frame_14.png = train/images/frame_15.png"
    assert finding.severity == "warning"


def test_frames_divided_at_one_place(tmp_path: Path, examine: Examine) -> None:
    """A few neighbours in two splits are unavoidable, and pictures of other places are no neighbours."""
    video(tmp_path / "whole", "t" * 12 + "v" * 4)
    assert "scattered_frames" not in examine(tmp_path / "whole", near_duplicates=False)
    generator = np.random.default_rng(0)
    video(tmp_path / "places", "ttvttvtttttvttvt")
    for image in (tmp_path / "places").glob("*/images/*.png"):
        write_image(image, generator.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(12, 0).repeat(12, 1))
    assert "scattered_frames" not in examine(tmp_path / "places", near_duplicates=False)
    video(tmp_path / "places", "ttvtt")
    assert "scattered_frames" not in examine(tmp_path / "places", near_duplicates=False)


def test_frames_in_no_split_are_in_no_other_one(tmp_path: Path) -> None:
    """Only neighbours that both have a split can be apart."""
    video(tmp_path, "t" * 16)
    paths = sorted((tmp_path / "train/images").iterdir(), key=lambda path: int(path.stem.split("_")[1]))
    for other, expected in ((None, 0), ("val", 15)):
        samples = [Sample(path, None, "train" if at % 2 else other) for at, path in enumerate(paths)]
        images = digest_images(paths)
        survey: Any = SimpleNamespace(samples=samples, images=images, splits=split_numbers(samples), image_name=str)
        assert sum(finding.count for finding in scattered_frames(survey)) == expected


def test_a_cut_off_frame_is_no_neighbour(tmp_path: Path, examine: Examine) -> None:
    """What cannot be read is like nothing."""
    video(tmp_path, "ttvttvtttttvttvt")
    image = tmp_path / "val/images/frame_2.png"
    image.write_bytes(image.read_bytes()[:-40])
    assert examine(tmp_path, near_duplicates=False)["scattered_frames"].count == 6


def test_near_copies_that_follow_each_other_across_splits(tmp_path: Path, examine: Examine) -> None:
    """Two nearly equal frames in two splits are a series, however far apart the splits' lists are."""
    video(tmp_path, "ttttttttttttttvv", moves=9)
    image, _ = draw_shapes(96, np.random.default_rng(9))
    for split, number in (("train", 13), ("val", 14)):
        noise = np.random.default_rng(number).normal(0, 2, image.shape)
        write_image(tmp_path / f"{split}/images/frame_{number}.png", (image + noise).clip(0, 255).astype(np.uint8))
    checkup = examine(tmp_path)
    assert [case.name for case in checkup["series_leaks"].cases] == [
        "train/images/frame_13.png = val/images/frame_14.png"
    ]
    assert "near_leaks" not in checkup


def test_runs_of_names() -> None:
    """Names that differ in their last number only are a run, in the order of that number."""
    names = ["a_10.png", "a_9.png", "b_1.png", "cam1_5.png", "cam2_6.png", "cam1_4.png", "none.png"]
    samples = [Sample(np.zeros((2, 2, 3), np.uint8), label=name) for name in names]
    assert numbered_runs(samples) == [[1, 0], [5, 3]]
