"""Train on a folder of images and masks, then look at the figures: python train_folder.py FOLDER."""

import sys

from easyseg import Segmenter


def main(folder: str) -> None:
    segmenter = Segmenter("unet", "resnet34", image_size=256)
    history = segmenter.fit(folder, epochs=30, augment="standard")
    print(history)

    report = segmenter.evaluate(folder, split="val")
    print(report)
    segmenter.save("model.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
