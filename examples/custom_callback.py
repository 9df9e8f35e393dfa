"""Watch a training, and end it once it is good enough: python custom_callback.py FOLDER."""

import sys

from easyseg import Segmenter, callbacks


class StopWhenGoodEnough(callbacks.Callback):
    """Prints a line per evaluation and asks to stop; it never reaches into the training."""

    def __init__(self, mean_iou: float) -> None:
        self.wanted = mean_iou

    def epoch_ended(self, report: callbacks.EpochReport) -> callbacks.StopRequest | None:
        found = report.metrics["mean_iou"]
        print(f"epoch {report.epoch}: mean IoU {found:.3f}" + (", the best so far" if report.is_best else ""))
        return callbacks.StopRequest(f"mean IoU reached {self.wanted}") if found >= self.wanted else None


def main(folder: str) -> None:
    history = Segmenter("unet", "resnet34").fit(folder, callbacks=[StopWhenGoodEnough(0.9)])
    print("Training ended because:", history.stopped)


if __name__ == "__main__":
    main(sys.argv[1])
