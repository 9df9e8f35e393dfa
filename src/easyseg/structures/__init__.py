"""The shared vocabulary: samples, objects, classes, batches, and what a model must be able to do.

Nothing here reads a file or imports torch.
"""

from easyseg.structures.batches import Batch, InstanceTarget, RawObjects, SegmentationModel
from easyseg.structures.class_colors import default_colors
from easyseg.structures.class_map import ClassMap
from easyseg.structures.kinds import (
    IGNORE_INDEX,
    MAX_CLASSES,
    MAX_PIXELS,
    SPLITS,
    Color,
    Ignored,
    ImageArray,
    MaskArray,
    SizeHW,
    Split,
    Task,
)
from easyseg.structures.objects import (
    SMALLEST_PIXELS,
    ArchivedFile,
    BoxShape,
    ConnectedRegions,
    Instances,
    LabelledObject,
    MaskPart,
    NumberedObjects,
    Points,
    Polygons,
    Shape,
)
from easyseg.structures.samples import EmbeddedImage, ImageSource, ImageWindow, LazySamples, Sample, SkippedSample

__all__ = [
    "IGNORE_INDEX",
    "MAX_CLASSES",
    "MAX_PIXELS",
    "SMALLEST_PIXELS",
    "SPLITS",
    "ArchivedFile",
    "Batch",
    "BoxShape",
    "ClassMap",
    "Color",
    "ConnectedRegions",
    "EmbeddedImage",
    "Ignored",
    "ImageArray",
    "ImageSource",
    "ImageWindow",
    "InstanceTarget",
    "Instances",
    "LabelledObject",
    "LazySamples",
    "MaskArray",
    "MaskPart",
    "NumberedObjects",
    "Points",
    "Polygons",
    "RawObjects",
    "Sample",
    "SegmentationModel",
    "Shape",
    "SizeHW",
    "SkippedSample",
    "Split",
    "Task",
    "default_colors",
]
