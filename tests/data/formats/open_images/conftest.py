"""A small Open Images in every form in which people have it, drawn anew for each test."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CAT, DOG, TREE = "/m/01yrx", "/m/0bt9lr", "/m/07j7r"
TITLES = {CAT: "Cat", DOG: "Dog", TREE: "Tree"}
HEADER = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"

Box = tuple[float, float, float, float]


@dataclass
class Published:
    """Writes files as Open Images publishes them.

    Attributes:
        root: the dataset's folder.
        rows: the rows of each split's table.
    """

    root: Path
    rows: dict[str, list[str]] = field(default_factory=dict)

    def image(self, number: int, *, split: str = "train", size: tuple[int, int] = (40, 30), folder: str = "") -> str:
        """Write an image, width and height given, and return its id."""
        name = f"{number:016x}"
        path = self.root / (folder or f"{split}") / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number % 256, 0, 0)).save(path)
        return name

    def mask(
        self,
        image: str,
        label: str,
        box: Box,
        *,
        split: str = "train",
        size: tuple[int, int] = (80, 60),
        archive: bool = False,
    ) -> str:
        """Write the mask of a rectangle, its x1, y1, x2, y2 as shares, with its row; return the mask's name."""
        rows = self.rows.setdefault(split, [HEADER])
        name = f"{image}_{label.replace('/', '')}_{len(rows):08x}.png"
        data = rectangle(box, size)
        if archive:
            with zipfile.ZipFile(self.root / f"{split}-masks-{image[0]}.zip", "a", zipfile.ZIP_DEFLATED) as packed:
                packed.writestr(name, data)
        else:
            path = self.root / f"{split}-masks" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        x1, y1, x2, y2 = box
        rows.append(f"{name},{image},{label},{len(rows):08x},{x1},{x2},{y1},{y2},0.8,0.1 0.2 1;0.3 0.4 0")
        return name

    def write_tables(self, *, titles: Sequence[str] = (CAT, DOG, TREE)) -> Path:
        """Write the tables and the class names, and return the folder."""
        for split, rows in self.rows.items():
            (self.root / f"{split}-annotations-object-segmentation.csv").write_text("\n".join(rows) + "\n")
        if titles:
            lines = [f"{label},{TITLES[label]}" for label in titles]
            (self.root / "class-descriptions-boxable.csv").write_text("\n".join(lines) + "\n")
        return self.root


def rectangle(box: Box, size: tuple[int, int]) -> bytes:
    """Return a mask file of a rectangle, 1 bit per pixel as the published ones."""
    pixels = np.zeros(size[::-1], np.uint8)
    x1, y1, x2, y2 = box
    pixels[round(y1 * size[1]) : round(y2 * size[1]), round(x1 * size[0]) : round(x2 * size[0])] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).convert("1").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """An empty dataset in its published form."""
    root = tmp_path / "open_images"
    root.mkdir()
    return Published(root)
