"""Names and numbers as people write them."""

from __future__ import annotations


def counted(count: object, noun: str) -> str:
    """Return "1 image", "2 images"."""
    return f"{count} {noun}" if str(count) == "1" else f"{count} {noun}s"


def metric_title(name: str) -> str:
    """Return a metric's name as a title: "mean_iou" is "Mean IoU", "iou/road" is "IoU of road"."""
    metric, _, class_name = name.partition("/")
    words = metric.replace("_", " ").replace("iou", "IoU").replace("dice", "Dice").replace("val ", "validation ")
    words = words[:1].upper() + words[1:]
    return f"{words} of {class_name}" if class_name else words
