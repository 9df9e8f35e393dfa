"""Every error easyseg raises on purpose, and how optional packages are asked for.

EasySegError
├── ConfigError             a setting is out of range or contradicts another
│   └── UnknownNameError    a name stands in no registry; the message offers the nearest one
├── DataError               something about the dataset
│   ├── FormatError         no dataset format, or several, fit the folder
│   ├── SampleError         one image or mask cannot be used; carries its path
│   └── ClassMapError       pixel values of the masks and classes do not fit together
├── DownloadError           a dataset cannot be fetched
├── ModelError              the model cannot be built or used this way
│   └── WeightsError        pretrained weights cannot be had
├── TrainingError           training cannot go on
├── CheckpointError         a model file cannot be read, or does not fit
├── OutputError             a result cannot be written (no permission, no space)
│   └── RunLockedError      another process is at work in the run folder
└── MissingExtraError       an optional package is not installed

A message says what was found, what was expected, and what to type next.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from os import PathLike
from types import MappingProxyType, ModuleType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

hint_wording: ContextVar[Callable[[str], str]] = ContextVar("hint_wording", default=str)
"""What notes go through before they are shown; the command line puts its flags there in place of Python's arguments."""


class EasySegError(Exception):
    """Base of every error that easyseg raises on purpose.

    Attributes:
        is_told: another process of the same training says it already.
    """

    is_told: bool = False


class ConfigError(EasySegError):
    """A setting is out of range, of the wrong type, or contradicts another."""


class UnknownNameError(ConfigError):
    """A name stands in no registry."""


class DataError(EasySegError):
    """Something about the dataset."""


class FormatError(DataError):
    """No dataset format, or several, fit what was given."""


class SampleError(DataError):
    """One image or mask cannot be used.

    Attributes:
        path: the file at fault.
    """

    def __init__(self, path: str | PathLike[str], problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class ClassMapError(DataError):
    """Pixel values of the masks and classes do not fit together."""


class DownloadError(EasySegError):
    """A dataset cannot be fetched."""


class ModelError(EasySegError):
    """The model cannot be built or used this way."""


class WeightsError(ModelError):
    """Pretrained weights cannot be had."""


class TrainingError(EasySegError):
    """Training cannot go on."""


class CheckpointError(EasySegError):
    """A model file cannot be read, or does not fit."""


class OutputError(EasySegError):
    """A result cannot be written."""


class RunLockedError(OutputError):
    """Another process is at work in the run folder."""


class MissingExtraError(EasySegError):
    """An optional package is not installed."""


_OTHER_WORDS = {
    **dict.fromkeys(("lr", "lr0", "max_lr"), "learning_rate"),
    **dict.fromkeys(("imgsz", "img_size", "size", "input_size"), "image_size"),
    **dict.fromkeys(("batch", "bs", "batchsize"), "batch_size"),
    **dict.fromkeys(("backbone", "encoder_name"), "encoder"),
    **dict.fromkeys(("arch", "architecture"), "model"),
    **dict.fromkeys(("num_workers", "n_jobs"), "workers"),
    **dict.fromkeys(("num_epochs", "n_epochs", "max_epochs"), "epochs"),
    **dict.fromkeys(("encoder_weights", "pretrained"), "weights"),
    **dict.fromkeys(("grad_clip", "gradient_clip_val", "clip"), "clip_gradients"),
    **dict.fromkeys(("accumulate_grad_batches", "gradient_accumulation_steps"), "accumulate"),
    **dict.fromkeys(("conf", "confidence", "score", "score_thresh", "box_score_thresh"), "score_threshold"),
    **dict.fromkeys(("iou", "nms", "nms_threshold", "nms_thresh", "box_nms_thresh"), "nms_iou"),
    **dict.fromkeys(("project", "output", "output_dir", "out", "save_dir"), "run_dir"),
}
"""What other libraries call our settings; no likeness of letters would find these."""


def closest(name: str, options: Iterable[str]) -> str | None:
    """Return the option most like `name`, ignoring case, or None where nothing comes near."""
    by_lower = {option.lower(): option for option in options}
    plain = name.lower().removeprefix("--").replace("-", "_")
    for option in by_lower:
        if option.removeprefix("--").replace("-", "_") == _OTHER_WORDS.get(plain):
            return by_lower[option]
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[found[0]] if found else None


def unknown_name(kind: str, name: object, options: Iterable[str], *, see: str = "") -> UnknownNameError:
    """Build the error for a name that stands in no registry.

    Args:
        kind: what the name should have named, such as "encoder".
        name: what was given.
        options: the names that exist.
        see: where to find them all, such as "easyseg.list_encoders()"; where empty, the options are listed.
    """
    options = list(options)
    near = closest(str(name), options)
    suggestion = f" Did you mean {near!r}?" if near else ""
    where = f" See {see}." if see else f" Choose one of: {', '.join(sorted(options))}."
    return UnknownNameError(f"No {kind} named {name!r}.{suggestion}{where}")


def known_arguments(
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let an argument whose name does not exist be an `UnknownNameError` that offers the nearest; for decorators.

    Args:
        elsewhere: arguments of other functions, and what to type for each instead.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        names = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
        called = function.__qualname__.removesuffix(".__init__")

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs:
                if name in names:
                    continue
                if name in elsewhere:
                    raise UnknownNameError(f"No argument of {called} named {name!r}. Type {elsewhere[name]}.")
                raise unknown_name(f"argument of {called}", name, names, see=f"help({called})")
            return function(*args, **kwargs)

        return checked

    return decorate


def require_extra(module: str, *, extra: str) -> ModuleType:
    """Import an optional package, or say how to install it.

    Args:
        module: the module's import name, such as "onnx".
        extra: the extra of easyseg that brings it, such as "export".

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"This needs the package {module!r}, which is not installed. Type: pip install 'easyseg[{extra}]'"
        ) from error
