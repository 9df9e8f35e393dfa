"""One small scene in every dataset format, and what it should be read as.

Three images of 40 x 30 pixels. In each, two cars and, drawn last, a tree that covers parts of both. All outlines are
rectangles with corners at pixel edges, so which pixels they cover does not hang on any rule.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 30, 40
OBJECTS = (("car", 2, 3, 12, 9), ("car", 20, 5, 30, 15), ("tree", 8, 6, 22, 20))
"""Name, left, top, right, bottom of each object, in the order they are drawn."""
STEMS = ("first", "second", "third")


def object_mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Return the pixels of a rectangle."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def expected_names(order: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
    """Return the class name of each pixel, drawn in this order."""
    names = np.full((HEIGHT, WIDTH), "background", object)
    for at in order:
        name, *box = OBJECTS[at]
        names[object_mask(*box)] = name
    return names


def write_images(folder: Path, suffix: str = ".png", stems: tuple[str, ...] = STEMS) -> list[Path]:
    """Write an image for each stem, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    files = []
    for stem in stems:
        files.append(folder / f"{stem}{suffix}")
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)).save(files[-1])
    return files


def corners(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """Return a rectangle's corners."""
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def png_bytes(array: np.ndarray, **options: Any) -> bytes:
    """Return the bytes of a PNG file."""
    data = io.BytesIO()
    Image.fromarray(array).save(data, "PNG", **options)
    return data.getvalue()


def write_json(file: Path, content: Any) -> Path:
    """Write a JSON file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def coco_content(stems: tuple[str, ...] = STEMS, prefix: str = "") -> dict[str, Any]:
    """Return the content of a COCO file: a polygon, compressed and uncompressed run lengths."""
    ids = {"car": 7, "tree": 90}
    annotations: list[dict[str, Any]] = []
    for image in range(len(stems)):
        for at, (name, *box) in enumerate(OBJECTS):
            flat = object_mask(*box).ravel(order="F").astype(np.int8)
            flips = np.flatnonzero(np.diff(flat)) + 1
            counts = np.diff([0, *flips, flat.size]).tolist()
            polygon = [[value for point in corners(*box) for value in point]]
            segmentation = polygon if at != 1 else {"size": [HEIGHT, WIDTH], "counts": counts}
            annotation = {"id": len(annotations), "image_id": 100 + image, "category_id": ids[name], "iscrowd": 0}
            annotations.append({**annotation, "segmentation": segmentation})
    return {
        "info": {},
        "images": [
            {"id": 100 + at, "file_name": f"{prefix}{stem}.png", "height": HEIGHT, "width": WIDTH}
            for at, stem in enumerate(stems)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }


def write_coco(root: Path) -> None:
    """Write images/ and annotations/instances_all.json."""
    write_images(root / "images")
    write_json(root / "annotations/instances_all.json", coco_content())


def write_labelme(root: Path) -> None:
    """Write a JSON file beside each image: a polygon, a rectangle, a mask."""
    for file in write_images(root):
        car, rectangle, tree = OBJECTS
        inside = png_bytes(np.ones((tree[4] - tree[2], tree[3] - tree[1]), np.uint8))
        shapes = [
            {"label": "car", "points": corners(*car[1:]), "shape_type": "polygon", "group_id": None, "flags": {}},
            {"label": "car", "points": corners(*rectangle[1:])[::2], "shape_type": "rectangle"},
            {
                "label": "tree",
                "points": [[tree[1], tree[2]], [tree[3] - 1, tree[4] - 1]],
                "shape_type": "mask",
                "mask": base64.b64encode(inside).decode(),
            },
        ]
        content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": file.name, "imageData": None}
        write_json(file.with_suffix(".json"), {**content, "imageHeight": HEIGHT, "imageWidth": WIDTH})


def via_content(*, version: int = 2) -> dict[str, Any]:
    """Return the content of a VIA file: a polygon and two rectangles."""
    images = {}
    for stem in STEMS:
        regions = []
        for at, (name, left, top, right, bottom) in enumerate(OBJECTS):
            xs, ys = zip(*corners(left, top, right, bottom), strict=True)
            shape: dict[str, Any] = {"name": "rect", "x": left, "y": top, "width": right - left, "height": bottom - top}
            if at == 0:
                shape = {"name": "polygon", "all_points_x": list(xs), "all_points_y": list(ys)}
            regions.append({"shape_attributes": shape, "region_attributes": {"quality": "good", "class": name}})
        listed = regions if version == 2 else {str(at): region for at, region in enumerate(regions)}
        images[f"{stem}.png1"] = {"filename": f"{stem}.png", "size": 1, "regions": listed, "file_attributes": {}}
    return images


def write_via(root: Path) -> None:
    """Write a VIA 2 export beside the images."""
    write_images(root)
    write_json(root / "via_region_data.json", via_content())


def write_voc(root: Path) -> None:
    """Write palette masks of classes and of objects, and class_names.txt."""
    write_images(root / "JPEGImages", ".jpg")
    classes, objects = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    for at, (name, *box) in enumerate(OBJECTS):
        classes[object_mask(*box)] = ("background", "car", "tree").index(name)
        objects[object_mask(*box)] = at + 1
    for stem in STEMS:
        for folder, values in (("SegmentationClass", classes), ("SegmentationObject", objects)):
            (root / folder).mkdir(exist_ok=True)
            picture = Image.fromarray(values)
            picture.putpalette([value for number in range(256) for value in (number, 255 - number, 7)])
            picture.save(root / folder / f"{stem}.png")
    (root / "class_names.txt").write_text("background\ncar\ntree\n", encoding="utf-8")


def write_yolo(root: Path) -> None:
    """Write images/, labels/ and data.yaml."""
    write_images(root / "images")
    (root / "labels").mkdir()
    rows = []
    for name, *box in OBJECTS:
        shares = [
            f"{value / side}" for point in corners(*box) for value, side in zip(point, (WIDTH, HEIGHT), strict=True)
        ]
        rows.append(" ".join([str(("car", "tree").index(name)), *shares]))
    for stem in STEMS:
        (root / f"labels/{stem}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (root / "data.yaml").write_text("names:\n  0: car\n  1: tree\nnc: 2\n", encoding="utf-8")


def write_cityscapes(root: Path) -> None:
    """Write polygons in Cityscapes' folders; a car, and vegetation for a tree, on a ground of road."""
    for at, stem in enumerate(STEMS):
        split = ("train", "train", "val")[at]
        write_images(root / f"leftImg8bit/{split}/town", "_leftImg8bit.png", (stem,))
        objects = [{"label": "road", "polygon": corners(0, 0, WIDTH, HEIGHT)}]
        words = {"car": "car", "tree": "vegetation"}
        objects += [{"label": words[name], "polygon": corners(*box)} for name, *box in OBJECTS]
        content = {"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": objects}
        write_json(root / f"gtFine/{split}/town/{stem}_gtFine_polygons.json", content)


def write_supervisely(root: Path) -> None:
    """Write a project of one dataset: a polygon, a rectangle, a bitmap."""
    write_json(root / "meta.json", {"classes": [{"title": "tree"}, {"title": "car"}], "tags": []})
    for file in write_images(root / "ds0/img"):
        car, rectangle, tree = OBJECTS
        inside = png_bytes(np.ones((tree[4] - tree[2], tree[3] - tree[1]), bool))
        data = base64.b64encode(zlib.compress(inside)).decode()
        objects = [
            {"classTitle": "car", "geometryType": "polygon", "points": {"exterior": corners(*car[1:]), "interior": []}},
            {
                "classTitle": "car",
                "geometryType": "rectangle",
                "points": {"exterior": corners(*rectangle[1:])[::2], "interior": []},
            },
            {
                "classTitle": "tree",
                "geometryType": "bitmap",
                "bitmap": {"data": data, "origin": [tree[1], tree[2]]},
            },
        ]
        size = {"height": HEIGHT, "width": WIDTH}
        write_json(root / f"ds0/ann/{file.name}.json", {"size": size, "objects": objects, "tags": []})


def write_geojson(root: Path) -> None:
    """Write TIFF files without a place on the earth, each with a GeoJSON file in pixels."""
    for file in write_images(root, ".tif"):
        features = [
            {
                "type": "Feature",
                "properties": {"class": name},
                "geometry": {"type": "Polygon", "coordinates": [[*corners(*box), corners(*box)[0]]]},
            }
            for name, *box in OBJECTS
        ]
        write_json(file.with_suffix(".geojson"), {"type": "FeatureCollection", "features": features})


def write_object_files(root: Path) -> None:
    """Write a folder for each image, with a mask file for each object."""
    for stem in STEMS:
        write_images(root / stem / "images", stems=(stem,))
        (root / stem / "masks").mkdir()
        for at, (_, *box) in enumerate(OBJECTS):
            Image.fromarray(object_mask(*box).astype(np.uint8) * 255).save(
                root / stem / f"masks/{stem}_object{at}a.png"
            )


def write_instance_ids(root: Path) -> None:
    """Write masks that number the objects; the images have one, two and three of them."""
    write_images(root / "images")
    (root / "masks").mkdir()
    for count, stem in enumerate(STEMS, start=1):
        numbers = np.zeros((HEIGHT, WIDTH), np.uint8)
        for at, (_, *box) in enumerate(OBJECTS[:count]):
            numbers[object_mask(*box)] = at + 1
        Image.fromarray(numbers).save(root / f"masks/{stem}.png")


WRITERS: dict[str, Callable[[Path], None]] = {
    "coco": write_coco,
    "labelme": write_labelme,
    "via": write_via,
    "voc": write_voc,
    "yolo": write_yolo,
    "cityscapes": write_cityscapes,
    "supervisely": write_supervisely,
    "geojson": write_geojson,
    "object_files": write_object_files,
    "instance_ids": write_instance_ids,
}
"""Every format of objects by its name."""
