"""Flags and YAML keys, made from the settings that `easyseg.config` declares."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from easyseg.cli.parser import Parser
from easyseg.config import Settings, read_yaml
from easyseg.config.stages import FINE_TUNE, gather_numbered_stages
from easyseg.errors import ConfigError, unknown_name

Group = type[Settings]
SettingsT = TypeVar("SettingsT", bound=Settings)

PYTHON_ONLY = {"callbacks"}
"""Settings that hold Python objects, which neither a flag nor YAML can name."""

PATHS = {"data": "The dataset's folder.", "validation": "A folder to validate on, instead of a split."}
"""Words that stand beside the settings in a YAML file."""


FURTHER_VALUE = re.compile(r"\d+|#[0-9a-fA-F]+|rest")
"""What belongs to the class before it; other words without a name are slips."""


def add_settings(
    parser: Parser, group: Group, title: str, *, only: Iterable[str] | None = None, without: Iterable[str] = ()
) -> None:
    """Give the parser one flag for each setting of a group.

    Args:
        parser: the command's parser.
        group: the settings.
        title: headline in the command's help.
        only: names of the settings wanted; None: all.
        without: names of settings to leave out.
    """
    section = parser.add_argument_group(title)
    for name, field in group.model_fields.items():
        if name in PYTHON_ONLY or name in without or (only is not None and name not in only):
            continue
        flag = f"--{name.replace('_', '-')}"
        help_text = f"{group.help(name)} (default: {value_text(field.default)})".replace("%", "%%")
        section.add_argument(flag, dest=name, metavar=value_form(group, name), help=help_text)
        if is_switch(group, name):
            parser.switches.add(flag)


def gather(given: Mapping[str, Any], config_file: str | Path | None, groups: Iterable[Group]) -> dict[str, Any]:
    """Return the settings of a YAML file, overruled by those given on the command line.

    Args:
        given: names to texts, from the command line; None where a flag was not given.
        config_file: a YAML file of settings, or None.
        groups: the settings that may stand there.

    Raises:
        UnknownNameError: a key of the file is no setting.
        ConfigError: the file cannot be read.
    """
    groups = list(groups)
    known = [*PATHS, *(name for group in groups for name in group.model_fields)]
    values = {} if config_file is None else _read_config(Path(config_file), known)
    values.update((name, text) for name, text in given.items() if name in known and text is not None)
    for group in groups:
        for name in group.model_fields.keys() & values.keys():
            values[name] = read_value(group, name, values[name])
    return values


def chosen(group: type[SettingsT], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `values` that are settings of the group, checked and of the right type.

    Raises:
        ConfigError: a value is of the wrong type or out of range.
    """
    mine = {name: value for name, value in values.items() if name in group.model_fields}
    settings = group.of(mine)
    return {name: getattr(settings, name) for name in mine}


def is_switch(group: Group, name: str) -> bool:
    """Return whether a flag may stand without a value, which means true."""
    return bool in _members(group.model_fields[name].annotation)


def read_value(group: Group, name: str, value: Any) -> Any:
    """Read what a text means for a setting: none, a list, a mapping; anything but a text stays as it is.

    Numbers and switches stay texts: the settings themselves turn them into what they are.

    Args:
        group: the settings the name belongs to.
        name: the setting.
        value: a text from the command line, or any value from YAML.
    """
    if not isinstance(value, str):
        return value
    members = _members(group.model_fields[name].annotation)
    literals = _literals(members)
    if value in literals or name in _READERS:
        return _READERS[name](value) if name in _READERS else value
    if value.lower() in ("none", "null") and types.NoneType in members:
        return None
    if any(get_origin(member) is tuple for member in members):
        return _split(value) if "," in value else value
    if any(get_origin(member) is list for member in members):
        return _split(value)
    return value


def value_form(group: Group, name: str) -> str:
    """Return what a setting's value looks like in a flag, such as "INTEGER|auto"."""
    special = {
        "class_map": "NAME=VALUE,...",
        "ignore": "VALUE,...",
        "image_size": "HEIGHT,WIDTH",
        "loggers": "A,B,...",
        "value_range": "LOW,HIGH|auto",
    }
    if name in special:
        return special[name]
    members = _members(group.model_fields[name].annotation)
    words = [word for member in members for word in _words(member, name)]
    return "|".join(dict.fromkeys(words)) or name.upper()


def value_text(value: Any) -> str:
    """Return a value as one would type it in a flag; `read_value` reads it back."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(str(part) for part in value)
    return str(value)


def _read_config(path: Path, known: list[str]) -> dict[str, Any]:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; a YAML file belongs here. For a dataset type: --data {path}")
    values = gather_numbered_stages(read_yaml(path))
    for name, value in values.items():
        if name not in known:
            raise unknown_name("setting", name, known, see=f"easyseg train --help; it stands in {path}")
        if name in PYTHON_ONLY and value:
            raise ConfigError(
                f"{path}: {name} are objects of Python, for which YAML has no words. Take the line out, and pass them "
                f"in Python: segmenter.fit(..., {name}=[...])"
            )
        if name in PATHS and not isinstance(value, str | None):
            raise ConfigError(f"{path}: {name} is {value!r}; a path belongs there, such as {name}: data/camvid")
    return values


def _read_classes(text: str) -> dict[str, Any] | None:
    if text.lower() == "none":
        return None
    parts = _split(text)
    pairs: list[tuple[str, str]] = []
    for part in parts:
        name, equals, value = part.rpartition("=")
        if not equals and pairs and FURTHER_VALUE.fullmatch(part):
            name, value = pairs[-1][0], part  # vehicle=8,9
        pairs.append((name, value))
    if not all(name and value for name, value in pairs):
        raise ConfigError(
            f"class_map={text!r}: expected NAME=VALUE,NAME=VALUE such as road=1,car=2 or road=#804080; of several "
            "values or of everything else vehicle=8,9,background=rest; or of objects vehicle=car,vehicle=bus."
        )
    values = {name: [_class_value(value) for other, value in pairs if other == name] for name, _ in pairs}
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _read_ignored(text: str) -> list[Any] | None:
    return None if text.lower() == "none" else [_class_value(part) for part in _split(text)]


def _class_value(text: str) -> int | tuple[int, ...] | str:
    """Read a mask value, 7, a colour, #ff8000, or the name of objects, tree."""
    if text.removeprefix("-").isdecimal():
        return int(text)
    if not text.startswith("#"):
        return text
    try:
        red, green, blue = bytes.fromhex(text[1:])
    except ValueError:
        raise ConfigError(f"{text!r} is no colour; expected six digits or letters a to f, such as #ff8000.") from None
    return (red, green, blue)


def _read_stages_word(text: str) -> str | None:
    if text.lower() in ("none", "null"):
        return None
    if text == FINE_TUNE:
        return text
    raise ConfigError(
        f"stages={text!r}: expected {FINE_TUNE}. Stages of your own stand in a YAML file; 'easyseg stages MODEL "
        "ENCODER' writes one, and 'easyseg train FILE' takes it."
    )


_READERS: dict[str, Callable[[str], Any]] = {
    "class_map": _read_classes,
    "ignore": _read_ignored,
    "stages": _read_stages_word,
}


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _members(annotation: Any) -> list[Any]:
    """Return the types a union is made of; a type that is no union is its own only member."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _literals(members: Iterable[Any]) -> list[str]:
    return [word for member in members if get_origin(member) is Literal for word in get_args(member)]


def _words(member: Any, name: str) -> list[str]:
    if get_origin(member) is Literal:
        return [str(word) for word in get_args(member)]
    if get_origin(member) is list or member == tuple[str, ...]:
        return ["A,B,..."]
    if member is str:
        return [name.upper()]
    return [_TYPE_WORDS[member]] if member in _TYPE_WORDS else []


_TYPE_WORDS = {bool: "true|false", int: "INTEGER", float: "NUMBER", types.NoneType: "none"}
