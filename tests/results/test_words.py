"""Names and numbers as people write them."""

from __future__ import annotations

import pytest

from easyseg.results.words import counted, metric_title


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("mean_iou", "Mean IoU"),
        ("iou/road", "IoU of road"),
        ("val_loss", "Validation loss"),
        ("mean_dice", "Mean Dice"),
        ("mask_ap50", "Mask AP50"),
        ("box_ar_small/cap", "Box AR small of cap"),
    ],
)
def test_metrics_are_written_as_people_do(name, title):
    """Names of metrics become titles."""
    assert metric_title(name) == title


@pytest.mark.parametrize(("count", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), ("?", "? images")])
def test_nouns_follow_their_number(count, words):
    """One image, two images."""
    assert counted(count, "image") == words
