"""Every figure is the one that COCO's own evaluation gives, on random objects of all the awkward kinds."""

from __future__ import annotations

import contextlib
import importlib
import io
import math

import cv2
import numpy as np
import pytest

from easyseg.geometry import RunLengths
from easyseg.metrics.instance import InstanceScorer, PredictedObjects, TruthObjects
from easyseg.metrics.instance.precision import plain_figures

TOLERANCE = 1e-6
MODULES = {
    "faster_coco_eval": ("faster_coco_eval.core.coco", "faster_coco_eval.core.faster_eval_api"),
    "pycocotools": ("pycocotools.coco", "pycocotools.cocoeval"),
}


class Case:
    """Some images with true and predicted objects, as records and as COCO's dictionaries."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.num_classes = int(self.generator.choice([1, 2, 3, 12]))
        self.size_hw = tuple(int(side) for side in self.generator.choice([12, 40, 90, 260], 2))
        self.decimals = int(self.generator.choice([1, 1, 2, 6]))  # few, so that many scores are equal
        self.images = [self._image() for _ in range(int(self.generator.integers(1, 7)))]

    def _image(self):
        generator = self.generator
        num_truths = int(generator.choice([0, 1, 2, 5, 14]))
        masks = [self._mask() for _ in range(num_truths)]
        class_ids = generator.integers(0, self.num_classes, num_truths)
        is_crowd = generator.random(num_truths) < 0.2
        areas = None
        if generator.random() < 0.3:  # annotated areas need not be the masks'
            areas = np.round(generator.choice([500.0, 1024.0, 5000.0, 9216.0, 20000.0], num_truths))
        truth = TruthObjects(class_ids, tuple(map(RunLengths.from_mask, masks)), is_crowd=is_crowd, areas=areas)
        found, found_ids = [], []
        for _ in range(int(generator.choice([0, 1, 6, 30, 130], p=[0.15, 0.15, 0.4, 0.25, 0.05]))):
            if masks and generator.random() < 0.8:
                place = int(generator.integers(num_truths))
                shift = generator.integers(-2, 3, 2) if generator.random() < 0.7 else (0, 0)
                found.append(np.roll(masks[place], shift, (0, 1)))
                is_same = generator.random() < 0.8
                found_ids.append(class_ids[place] if is_same else generator.integers(self.num_classes))
            else:
                found.append(self._mask())
                found_ids.append(generator.integers(self.num_classes))
        scores = np.round(generator.random(len(found)), self.decimals)
        runs = tuple(map(RunLengths.from_mask, found))
        boxes = None
        if generator.random() < 0.5:  # a detector's boxes are not those around its masks; quarters are exact in floats
            boxes = PredictedObjects(found_ids, scores, runs).boxes + generator.integers(-3, 4, (len(found), 4)) / 4
            boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])
        return truth, PredictedObjects(np.array(found_ids, np.int64), scores, runs, boxes)

    def _mask(self):
        generator, (height, width) = self.generator, self.size_hw
        mask = np.zeros(self.size_hw, np.uint8)
        if generator.random() < 0.05:
            return mask
        center = (int(generator.integers(width)), int(generator.integers(height)))
        axes = (int(generator.integers(1, 3 + width // 3)), int(generator.integers(1, 3 + height // 3)))
        if generator.random() < 0.5:
            cv2.rectangle(mask, center, (center[0] + axes[0], center[1] + axes[1]), 1, -1)
        else:
            cv2.ellipse(mask, center, axes, float(generator.integers(180)), 0, 360, 1, -1)
        return mask

    def scored(self, kind):
        """Return our figures; the order in which images come does not matter."""
        scorer = InstanceScorer(self.num_classes)
        for image_id in self.generator.permutation(len(self.images)):
            scorer.add(int(image_id) + 1, *self.images[image_id])
        return scorer.scores(kind)

    def reference(self, package, kind):
        """Return the twelve figures, and (C,) AP of each class, of another evaluation; NaN where there is none."""
        coco, cocoeval = map(importlib.import_module, MODULES[package])
        images = [
            {"id": number + 1, "height": self.size_hw[0], "width": self.size_hw[1]}
            for number in range(len(self.images))
        ]
        header = {"images": images, "categories": [{"id": number, "name": ""} for number in range(self.num_classes)]}
        with contextlib.redirect_stdout(io.StringIO()):
            sides = []
            for side in (0, 1):
                annotations = []
                for number, records in enumerate(self.images):
                    annotations += _annotations(records[side], number + 1, kind)
                for number, annotation in enumerate(annotations):
                    annotation["id"] = number + 1
                sides.append(coco.COCO())
                sides[-1].dataset = {**header, "annotations": annotations}
                sides[-1].createIndex()
            evaluation = cocoeval.COCOeval(*sides, "segm" if kind == "mask" else "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
        per_class = [
            precision[:, :, class_id].mean() if (precision[:, :, class_id] > -1).any() else math.nan
            for class_id in range(self.num_classes)
        ]
        return [value if value > -1 else math.nan for value in evaluation.stats[:12]], per_class


def _annotations(objects, image_id, kind):
    """Return COCO's dictionaries of one image's objects."""
    is_truth = isinstance(objects, TruthObjects)
    rows = []
    for place, (class_id, mask) in enumerate(zip(objects.class_ids, objects.masks, strict=True)):
        x1, y1, x2, y2 = objects.boxes[place].tolist()
        row = {"image_id": image_id, "category_id": int(class_id), "bbox": [x1, y1, x2 - x1, y2 - y1]}
        row["segmentation"] = {"size": list(mask.size_hw), "counts": mask.to_compressed()}
        if is_truth:
            row |= {"iscrowd": int(objects.is_crowd[place]), "area": float(objects.areas[place])}
        else:
            area = mask.area if kind == "mask" else (x2 - x1) * (y2 - y1)
            row |= {"iscrowd": 0, "area": area, "score": float(objects.scores[place])}
        rows.append(row)
    return rows


def _compare(seed, package):
    case = Case(seed)
    for kind in ("mask", "box"):
        scores = case.scored(kind)
        overall, per_class = case.reference(package, kind)
        found = list(plain_figures(scores.overall).values())
        np.testing.assert_allclose(found, overall, rtol=0, atol=TOLERANCE, err_msg=f"{kind}, case {seed}")
        of_classes = [figures.ap for figures in scores.classes]
        np.testing.assert_allclose(of_classes, per_class, rtol=0, atol=TOLERANCE, err_msg=f"{kind}, case {seed}")


def test_thirty_random_cases_equal_the_reference():
    """All twelve figures and each class's AP, of masks and of boxes."""
    for seed in range(30):
        _compare(seed, "faster_coco_eval")


@pytest.mark.slow
@pytest.mark.parametrize("package", ["faster_coco_eval", "pycocotools"])
def test_two_hundred_random_cases_equal_the_reference(package):
    """As above, and against the original program too where it is installed."""
    pytest.importorskip(package)
    for seed in range(1000, 1200):
        _compare(seed, package)
