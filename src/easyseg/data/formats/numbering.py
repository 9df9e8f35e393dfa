"""Masks that number the objects of each image."""

from __future__ import annotations

from dataclasses import replace

from easyseg.data.formats.layout import Layout
from easyseg.errors import FormatError
from easyseg.structures import NumberedObjects, Sample
from easyseg.structures.objects import UNNAMED

NOTE = (
    "Each number in a mask is one object; together they are the class. If the numbers are classes instead, type "
    "format='folders' and classes=[...] with a name for each."
)


def as_numbered_objects(layout: Layout) -> Layout:
    """Return a layout in which each mask's numbers are objects, all of one class that has no name.

    Raises:
        FormatError: its images have several masks each.
    """
    samples = tuple(_numbered(sample) for sample in layout.samples)
    return replace(
        layout,
        samples=samples,
        names=(UNNAMED,),
        class_values=None,
        names_source="",
        notes=(*layout.notes, NOTE),
        labels="objects",
    )


def _numbered(sample: Sample) -> Sample:
    if isinstance(sample.mask, tuple):
        raise FormatError(
            f"{sample.image}: several masks belong to this image, so numbers in them cannot be those of its objects. "
            "Give one mask per image, or leave format= out."
        )
    if sample.mask is None:
        return sample
    return replace(sample, mask=None, objects=NumberedObjects(sample.mask))
