"""Every error easyseg raises on purpose, and how optional packages are asked for.

EasySegError
├── ConfigError             a setting is out of range or contradicts another
│   └── UnknownNameError    a name stands in no registry; the message offers the nearest one
├── DataError               something about the dataset
│   ├── FormatError         no dataset format, or several, fit the folder
│   ├── SampleError         one image or mask cannot be used; carries its path
│   └── ClassMapError       pixel values of the masks and classes do not fit together
├── ModelError              the model cannot be built or used this way
│   └── WeightsError        pretrained weights cannot be had
├── TrainingError           training cannot go on
├── CheckpointError         a model file cannot be read, or does not fit
├── OutputError             a result cannot be written (no permission, no space)
└── MissingExtraError       an optional package is not installed

A message says what was found, what was expected, and what to type next.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from os import PathLike
from types import ModuleType


class EasySegError(Exception):
    """Base of every error that easyseg raises on purpose."""


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


class MissingExtraError(EasySegError):
    """An optional package is not installed."""


def closest(name: str, options: Iterable[str]) -> str | None:
    """Return the option most like `name`, ignoring case, or None where nothing comes near."""
    by_lower = {option.lower(): option for option in options}
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
