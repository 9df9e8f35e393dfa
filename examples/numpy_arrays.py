"""Train on numpy arrays: bright spots in noise, drawn here. Runs in seconds: python numpy_arrays.py."""

import numpy as np

from easyseg import Segmenter


def draw_spots(count: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return images (count, size, size, 3) uint8 and masks (count, size, size) of 0 and 1."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    centres = rng.uniform(12, size - 12, (count, 2, 1, 1))
    masks = ((rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2 < 10**2).astype(np.uint8)
    images = rng.normal(90, 25, (count, size, size, 3)) + 70 * masks[..., None]
    return images.clip(0, 255).astype(np.uint8), masks


def main(epochs: int = 5) -> None:
    images, masks = draw_spots(40)
    segmenter = Segmenter("unet", "resnet18", weights=None, image_size=64, classes=["spot"])
    segmenter.fit((images[:30], masks[:30]), validation=(images[30:], masks[30:]), epochs=epochs, run_dir=None)

    result = segmenter.predict(images[30])
    print(result, "- really", masks[30].sum(), "pixels")


if __name__ == "__main__":
    main()
