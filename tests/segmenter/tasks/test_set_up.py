"""What a detector is set up with from the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from easyseg.data.object_readiness import notes_on_objects
from easyseg.data.object_sizes import ObjectSizes
from easyseg.io.checkpoints import save_checkpoint
from easyseg.models.instance.anchors import COCO_ANCHORS, Anchors, measure_anchors
from easyseg.models.instance.building import build_instance
from easyseg.models.instance.plan import DetectorPlan
from easyseg.segmenter.tasks import set_up
from easyseg.segmenter.tasks.set_up import LEAST_RECALL, MOST_DETECTIONS, anchors_for, detections_for

CANVAS = (256, 256)


def sizes_of(boxes: np.ndarray) -> ObjectSizes:
    """Return one image with these objects of one class."""
    count = len(boxes)
    return ObjectSizes(boxes.astype(np.float32), np.zeros(count, np.int64), np.array([count]), 0, 0, ("1.png",))


@pytest.fixture
def of_all_shapes() -> ObjectSizes:
    """Objects of sizes 12 to 120, from eight times as wide as high to eight times as high as wide."""
    generator = np.random.default_rng(0)
    area, ratio = generator.uniform(12, 120, 600), 8 ** generator.uniform(-1, 1, 600)
    sides = np.stack([area / np.sqrt(ratio), area * np.sqrt(ratio)], axis=1).clip(4, 250)
    corners = generator.uniform(0, 256 - sides)
    return sizes_of(np.concatenate([corners, corners + sides], axis=1))


def test_the_most_objects_are_told() -> None:
    """By the very number that holds."""
    many = sizes_of(np.tile([[0.0, 0, 20, 20]], (2000, 1)))
    assert detections_for(many) == MOST_DETECTIONS
    lines = notes_on_objects(many, detections_per_image=MOST_DETECTIONS, most_objects=3000)
    assert f"up to {MOST_DETECTIONS}." in lines[-1]


def test_usual_objects_take_three_shapes() -> None:
    """More would cost more, and bring nothing."""
    corners = np.arange(0.0, 200, 8)[:, None]
    squares = np.concatenate([corners, corners, corners + 40, corners + 40], axis=1)
    assert anchors_for(sizes_of(squares), CANVAS, None).per_position == 3


def test_objects_of_all_shapes_take_more(of_all_shapes: ObjectSizes, monkeypatch: pytest.MonkeyPatch) -> None:
    """As few as suit them; and the most where none do."""
    found = anchors_for(of_all_shapes, CANVAS, None)
    assert found.per_position in (5, 7)
    assert measure_anchors(found, of_all_shapes.boxes, canvas_hw=CANVAS).recall_50 >= LEAST_RECALL
    monkeypatch.setattr(set_up, "LEAST_RECALL", 1.1)
    assert anchors_for(of_all_shapes, CANVAS, None).per_position == 7


def test_weights_of_a_detector_keep_their_number(of_all_shapes: ObjectSizes, tmp_path: Path) -> None:
    """Their layers are made for it; the shapes themselves follow the objects."""
    plan = DetectorPlan(anchors=Anchors.of((8, 16, 24, 32, 48)))
    assert plan.anchors.per_position == COCO_ANCHORS.per_position
    model = build_instance("mask_rcnn", "test_resnet", num_classes=1, weights=None, plan=plan)
    path = save_checkpoint(tmp_path / "few.safetensors", model.state_dict(), {"plan": model.plan.to_dict()})
    found = anchors_for(of_all_shapes, CANVAS, str(path))
    assert found.per_position == 3
    assert found != plan.anchors
