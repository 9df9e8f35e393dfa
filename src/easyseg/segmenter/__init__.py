"""`Segmenter`: one class for training, measuring, using, saving and loading a segmentation model."""

from easyseg.segmenter.facade import Segmenter as Segmenter

__all__ = ["Segmenter"]
