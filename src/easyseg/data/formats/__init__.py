"""Dataset formats: each recognises its folders and lists their samples.

A new format is a module with the names of `Format`, added to `_MODULES`; nothing else changes.
"""

from __future__ import annotations

from pathlib import Path

from easyseg.data.formats import (
    cityscapes,
    coco,
    folders,
    geojson,
    instance_ids,
    labelme,
    object_files,
    open_images,
    supervisely,
    txt_splits,
    via,
    voc,
    yolo,
)
from easyseg.data.formats.layout import BadSamples, Format, Layout, ReadOptions
from easyseg.data.formats.scanning import list_files
from easyseg.errors import FormatError, unknown_name
from easyseg.io.decoding import near_name
from easyseg.io.json_files import looks_whole

__all__ = ["FORMATS", "BadSamples", "Format", "Layout", "ReadOptions", "find_format"]

_MOST_ASKED = 50

_MODULES: tuple[Format, ...] = (
    folders,
    txt_splits,
    coco,
    labelme,
    via,
    voc,
    yolo,
    cityscapes,
    supervisely,
    geojson,
    object_files,
    instance_ids,
    open_images,
)
FORMATS: dict[str, Format] = {module.NAME: module for module in _MODULES}
"""Every dataset format by the name one types as `format=`."""


def find_format(path: Path, name: str = "auto", annotations: str | None = None) -> Format:
    """Return the format of a dataset.

    Args:
        path: its folder.
        name: a format's name, or "auto" to find it out.
        annotations: the annotation files that count, as a path in the folder or a pattern for it; None: all.

    Raises:
        UnknownNameError: there is no format of this name.
        FormatError: no format fits the folder, several do, or the annotation file lies in another folder.
    """
    if annotations is not None:
        _refuse_elsewhere(path, Path(annotations))
    if name != "auto":
        if name not in FORMATS:
            raise unknown_name("dataset format", name, FORMATS)
        return FORMATS[name]
    fitting = [module for module in FORMATS.values() if module.recognises(path, annotations)]
    overruled = {other for module in fitting for other in module.OVERRULES}
    fitting = [module for module in fitting if module.NAME not in overruled]
    if len(fitting) == 1:
        return fitting[0]
    listed = "\n".join(f"  {module.NAME}: {module.LOOKS_FOR}" for module in fitting or FORMATS.values())
    if fitting:
        first = fitting[0].NAME
        raise FormatError(f"{path}: several dataset formats fit. Type format={first!r} or another of:\n{listed}")
    raise FormatError(
        f"{path}: no dataset format fits. {_contents(path)}{_doubts(path, annotations)} These were looked for:\n"
        f"{listed}\n"
        "Type images='...', masks='...' to name the folders of images and masks; images without masks can only be "
        "predicted."
    )


def _doubts(path: Path, annotations: str | None) -> str:
    """Say what may be why: a pattern that no file fits, a JSON file that is cut off."""
    files = list_files(path, (".json", ".geojson"))
    if annotations is not None and not (path / annotations).exists():
        near = near_name(Path(annotations).name, (file.name for file in files))
        return f" Nothing there is called {annotations!r}{f'; did you mean {near!r}' if near else ''}?"
    broken = [file for file in files[:_MOST_ASKED] if not looks_whole(file)]
    return f" {broken[0].name} is cut off or no JSON; export it again." if broken else ""


def _refuse_elsewhere(path: Path, annotations: Path) -> None:
    """Refuse an annotation file outside of the folder, which is then that of its images."""
    if not annotations.is_absolute() or annotations.is_relative_to(path.absolute()):
        return
    raise FormatError(
        f"annotations={str(annotations)!r} does not lie below {path}. The dataset's folder is that of the annotations; "
        f"type load_dataset({str(annotations.parent)!r}, annotations={annotations.name!r}, images={str(path)!r})."
    )


def _contents(path: Path) -> str:
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir())
    if not names:
        return "The folder is empty."
    named = [entry for entry in path.iterdir() if entry.is_dir() and not any(entry.iterdir())]
    if named:
        return f"The folder holds {', '.join(names[:8])}; {named[0].name}/ is empty."
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"The folder holds {', '.join(names[:8])}{more}."
