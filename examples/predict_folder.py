"""Predict on a folder of images and measure areas: python predict_folder.py model.safetensors PHOTOS PICTURES."""

import sys
from pathlib import Path

from easyseg import Segmenter


def main(model: str, photos: str, pictures: str) -> None:
    segmenter = Segmenter.load(model)
    for result in segmenter.predict(photos):  # one image after the other; nothing piles up in memory
        result.save(Path(pictures) / f"{result.stem}.png", kind="side_by_side", legend=True)
        print(result.name, result.areas())


if __name__ == "__main__":
    main(*sys.argv[1:4])
