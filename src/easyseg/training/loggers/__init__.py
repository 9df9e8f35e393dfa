"""Where the course of a training goes besides its run folder: TensorBoard, Weights & Biases, MLflow.

Example:
    >>> from easyseg import loggers
    >>> segmenter.fit("data/roofs", loggers=["tensorboard", loggers.WandbLogger("roofs")])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from easyseg.errors import ConfigError, require_extra, unknown_name
from easyseg.training.loggers.base import LoggedPicture, Logger, RunDescription
from easyseg.training.loggers.mlflow import MLflowLogger
from easyseg.training.loggers.observing import LoggedRun
from easyseg.training.loggers.tensorboard import TensorBoardLogger
from easyseg.training.loggers.weights_and_biases import WandbLogger

__all__ = [
    "LoggedPicture",
    "LoggedRun",
    "Logger",
    "MLflowLogger",
    "RunDescription",
    "TensorBoardLogger",
    "WandbLogger",
    "build_loggers",
]

_LOGGERS: Mapping[str, type[Logger]] = {
    "mlflow": MLflowLogger,
    "tensorboard": TensorBoardLogger,
    "wandb": WandbLogger,
}


def build_loggers(wanted: Iterable[str | Logger]) -> list[Logger]:
    """Return the loggers for names and loggers, and import the packages they need.

    Raises:
        UnknownNameError: there is no logger of that name.
        MissingExtraError: a logger's package is not installed.
        ConfigError: something is neither a name nor a logger.
    """
    loggers = [_built(one) for one in wanted]
    for logger in loggers:
        if logger.package:
            require_extra(logger.package, extra=logger.extra)
    return loggers


def _built(wanted: str | Logger) -> Logger:
    if isinstance(wanted, Logger):
        return wanted
    if not isinstance(wanted, str):
        raise ConfigError(
            f"loggers: {wanted!r} is no logger. Type a name, such as loggers='tensorboard', or an object whose class "
            "derives from easyseg.loggers.Logger."
        )
    if wanted not in _LOGGERS:
        raise unknown_name("logger", wanted, _LOGGERS)
    return _LOGGERS[wanted]()
