"""Fine-tune in stages, at a learning rate that a sweep suggests: python fine_tune_in_stages.py FOLDER.

Stop it whenever you like, and type the same command again: it goes on where it was.
"""

import sys

from easyseg import Segmenter, Stage


def main(folder: str) -> None:
    segmenter = Segmenter("unet", "resnet34", image_size=256)
    curve = segmenter.find_learning_rate(folder)
    curve.plot("learning_rate.png")
    rate = curve.suggestion

    history = segmenter.fit(
        folder,
        batch_size=8,  # the sweep's own, so that its suggestion holds
        stages=[
            Stage("heads", train="heads", epochs=5, learning_rate=rate),
            Stage("top", train=["heads", "encoder[-1]"], epochs=5, learning_rate=rate / 2),
            Stage("all", train="all", epochs=10, learning_rate=rate / 2, layer_decay=0.7, patience=5),
        ],
        run_dir="runs/fine_tuned",
    )
    print(history)


if __name__ == "__main__":
    main(sys.argv[1])
