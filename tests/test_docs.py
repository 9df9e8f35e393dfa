"""What the documentation shows works: its Python runs, commands and YAML are understood, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import easyseg
from easyseg.cli import (
    COMMANDS,
    check_command,
    demo_command,
    download_command,
    evaluate_command,
    find_learning_rate_command,
    list_command,
    predict_command,
    stages_command,
    train_command,
)
from easyseg.cli.options import chosen, gather
from easyseg.config import DataSettings, FitSettings, ModelSettings
from easyseg.data.shapes import draw_shapes, write_shapes
from easyseg.io.images import write_image
from easyseg.results.semantic import SemanticResult

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PARSERS = {
    "check": check_command.parser,
    "train": train_command.parser,
    "evaluate": evaluate_command.parser,
    "predict": predict_command.parser,
    "stages": stages_command.parser,
    "find-learning-rate": find_learning_rate_command.parser,
    "list": list_command.parser,
    "download": download_command.parser,
    "demo": demo_command.parser,
}


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    """Return a file's path in the repository, to name its test."""
    return path.relative_to(ROOT).as_posix()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the documentation speaks of, and a `Segmenter` that makes do with the least."""
    write_shapes(tmp_path / "data/camvid", count=8, size=32)
    write_shapes(tmp_path / "data/other", count=4, size=32)
    easyseg.load_dataset(tmp_path / "data/camvid", classes=["background", "disc", "square", "triangle"]).to_coco(
        tmp_path / "data/coco"
    )
    for number in range(8):  # a plain folder, as the README shows one
        image, mask = draw_shapes(32, np.random.default_rng(number))
        write_image(tmp_path / f"data/streets/images/{number:04}.jpg", image)
        write_image(tmp_path / f"data/streets/masks/{number:04}.png", mask)
        roofs = (np.isin(mask, (1, 2, 3)) * 255).astype(np.uint8)  # masks in which objects are not told apart
        write_image(tmp_path / f"data/rooftops/images/{number:04}.jpg", image)
        write_image(tmp_path / f"data/rooftops/masks/{number:04}.png", roofs)
    for name in ("street.jpg", "village.jpg", "photos/a.jpg", "photos/b.jpg"):
        write_image(tmp_path / name, draw_shapes(32, np.random.default_rng(0))[0])

    class TinySegmenter(easyseg.Segmenter):
        def __init__(self, model: str = "unet", encoder: str = "resnet34", **settings: Any) -> None:
            super().__init__(model, "resnet18", **{**settings, "weights": None, "image_size": 32})

        def fit(self, data: Any, validation: Any = None, **settings: Any) -> Any:
            short = {"epochs": 1, "step_size": None, "schedule": None}
            if isinstance(settings.get("stages"), list):
                settings["stages"] = [stage.model_copy(update=short) for stage in settings["stages"]]
            else:
                settings["epochs"] = 1
            return super().fit(data, validation, **{**settings, "batch_size": 4})

        def find_learning_rate(self, data: Any, **settings: Any) -> Any:
            return super().find_learning_rate(data, **{**settings, "steps": 10, "batch_size": 4})

    monkeypatch.setitem(easyseg.__dict__, "Segmenter", TinySegmenter)
    monkeypatch.setattr(SemanticResult, "show", lambda self, kind="overlay": None)  # it would open a viewer
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_on_a_page_runs(page: Path, tiny: Path) -> None:
    """The Python of a page runs from top to bottom, as a reader would type it."""
    names: dict[str, Any] = {}
    for number, code in enumerate(blocks(page, "python"), start=1):
        exec(compile(code, f"{page.name}, block {number}", "exec"), names)


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_examples_run(path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example does its work on a tiny dataset."""
    module = load(path)
    if path.stem == "predict_folder":
        segmenter = easyseg.Segmenter("unet")
        segmenter.fit("data/camvid", run_dir=None)
        module.main(str(segmenter.save("model.safetensors")), "photos", "pictures")
        assert len(list((tiny / "pictures").iterdir())) == 2
    elif path.stem == "numpy_arrays":
        module.main(epochs=1)
    else:
        module.main("data/camvid")


def load(path: Path) -> Any:
    """Import a file that is in no package."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command line of easyseg that a page shows, with the page's name."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = [line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("easyseg ")]
        inline = re.findall(r"`(easyseg [^`]+)`", text)
        for line in [*shown, *(line for line in inline if "COMMAND" not in line and "|" not in line)]:
            yield line, name_of(page)


@pytest.mark.parametrize(("line", "page"), sorted(set(commands())))
def test_commands_on_a_page_are_understood(line: str, page: str) -> None:
    """Every command line in the documentation has a command and flags that exist."""
    words = shlex.split(line.partition(" > ")[0])[1:]
    if words[0] not in ("--help", "--version"):
        assert words[0] in COMMANDS
        if "--help" not in words and len(words) > 1:
            PARSERS[words[0]]().parse(words[1:] if words[1:] != ["--data"] else ["--data", "x"])


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=name_of)
def test_yaml_on_a_page_is_understood(page: Path, tmp_path: Path) -> None:
    """Every YAML file in the documentation holds settings with values they can have."""
    groups = (ModelSettings, DataSettings, FitSettings)
    for text in blocks(page, "yaml"):
        (tmp_path / "config.yaml").write_text(text)
        values = gather({}, tmp_path / "config.yaml", groups)
        assert values["data"]
        assert [chosen(group, values) for group in groups] != [{}, {}, {}]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a page of the repository leads to a file that is there."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_tree_of_errors_is_the_real_one() -> None:
    """The page on errors shows the tree of the module."""
    shown = load(ROOT / "docs/hooks.py").on_page_markdown(
        (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    )
    assert "├── ConfigError " in shown
    assert "└── MissingExtraError " in shown


def test_page_of_settings_is_up_to_date() -> None:
    """The page that can be read in the repository says what the code declares; `python docs/hooks.py` writes it."""
    hooks = load(ROOT / "docs/hooks.py")
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == hooks.settings_page()
    assert "| `weights` |" in hooks.settings_page()
    assert "MissingExtraError" in hooks.settings_page()


def test_tables_of_settings_are_complete() -> None:
    """The tables in the documentation name every setting with its default."""
    hooks = load(ROOT / "docs/hooks.py")
    for group, page in {
        "ModelSettings": "models",
        "FitSettings": "training",
        "RateFinderSettings": "training",
        "EvaluateSettings": "metrics",
        "PredictSettings": "prediction",
        "DataSettings": "data",
        "DownloadSettings": "open-images",
        "CheckSettings": "checking-data",
    }.items():
        text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
        assert f"<!-- settings: {group} -->" in text
        shown = hooks.on_page_markdown(text)
        for name in getattr(easyseg.config, group).model_fields:
            assert f"| `{name}` |" in shown
