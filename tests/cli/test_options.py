"""Texts from the command line and from YAML become settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from easyseg.cli.options import PYTHON_ONLY, chosen, gather, read_value
from easyseg.cli.train_command import parser
from easyseg.config import DataSettings, FitSettings, ModelSettings, Settings
from easyseg.errors import ConfigError, UnknownNameError

GROUPS: tuple[type[Settings], ...] = (ModelSettings, DataSettings, FitSettings)


@pytest.mark.parametrize(
    ("group", "name", "text", "expected"),
    [
        (FitSettings, "epochs", "3", 3),
        (FitSettings, "learning_rate", "1e-3", 1e-3),
        (FitSettings, "learning_rate", "auto", "auto"),
        (FitSettings, "batch_size", "8", 8),
        (FitSettings, "patience", "none", None),
        (FitSettings, "patience", "None", None),
        (FitSettings, "cache", "none", "none"),
        (FitSettings, "augment", "none", "none"),
        (FitSettings, "ema", "true", True),
        (FitSettings, "ema", "0.99", 0.99),
        (FitSettings, "compile", "no", False),
        (FitSettings, "evaluate_every", "500 steps", "500 steps"),
        (FitSettings, "class_weights", "1, 2.5", [1.0, 2.5]),
        (FitSettings, "class_weights", "balanced", "balanced"),
        (FitSettings, "run_dir", "none", None),
        (FitSettings, "loggers", "tensorboard,wandb", ("tensorboard", "wandb")),
        (FitSettings, "loggers", "mlflow", ("mlflow",)),
        (FitSettings, "loggers", "none", ()),
        (ModelSettings, "image_size", "192,256", (192, 256)),
        (ModelSettings, "image_size", "256", (256, 256)),
        (ModelSettings, "classes", "road, car", ["road", "car"]),
        (ModelSettings, "classes", "membrane", ["membrane"]),
        (ModelSettings, "weights", "none", None),
        (ModelSettings, "resize", "none", None),
        (DataSettings, "class_map", "road=1,car=#ff8000", {"road": 1, "car": (255, 128, 0)}),
        (
            DataSettings,
            "class_map",
            "road=3,vehicle=8,9,other=7,rest",
            {"road": 3, "vehicle": [8, 9], "other": [7, "rest"]},
        ),
        (DataSettings, "class_map", "water=#0000ff,#0000aa", {"water": [(0, 0, 255), (0, 0, 170)]}),
        (DataSettings, "class_map", "none", None),
        (DataSettings, "ignore", "11,255", [11, 255]),
        (DataSettings, "ignore", "#000000", [(0, 0, 0)]),
        (DataSettings, "ignore", "none", None),
        (DataSettings, "ignore", "tree,-1", ["tree", -1]),
        (DataSettings, "class_map", "vehicle=car,plant=tree,vehicle=bus", {"vehicle": ["car", "bus"], "plant": "tree"}),
    ],
)
def test_texts_become_values(group: type[Settings], name: str, text: str, expected: Any) -> None:
    """A text means what a person would think it means."""
    value = chosen(group, {name: read_value(group, name, text)})[name]
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("text", ["road", "3", "road=1,car", "=1", "road=", "road=#12345", "road=#gggggg"])
def test_a_class_map_that_cannot_be_read_shows_one_that_can(text: str) -> None:
    """The complaint about a class map holds what was given and an example."""
    with pytest.raises(ConfigError, match=r"#ff8000|road=1,car=2") as raised:
        read_value(DataSettings, "class_map", text)
    assert text.rpartition("=")[2] in str(raised.value)


def test_every_setting_has_a_flag() -> None:
    """Each setting of model, data and training is a flag of `easyseg train`, but for those that are objects."""
    flags = set(parser()._option_string_actions)
    for group in GROUPS:
        for name in group.model_fields.keys() - PYTHON_ONLY:
            assert f"--{name.replace('_', '-')}" in flags


def test_help_shows_the_default_of_every_setting() -> None:
    """The help of a flag is the setting's own, with its default."""
    shown = " ".join(parser().format_help().split())
    for group in GROUPS:
        for name in group.model_fields.keys() - PYTHON_ONLY:
            assert " ".join(group.help(name).split()) in shown, name
    assert "(default: 512,512)" in shown
    assert "(default: false)" in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--ema"], "true"),
        (["--ema", "0.9"], "0.9"),
        (["--ema", "config.yaml"], "true"),
        (["--ema=false"], "false"),
        (["--no-ema"], "false"),
        (["--compile", "--ema"], "true"),
    ],
)
def test_switches_need_no_value(words: list[str], expected: str) -> None:
    """A switch can stand alone, be negated, or have a value, and never swallows the word behind it."""
    arguments = parser().parse(words)
    assert arguments.ema == expected
    assert arguments.config == ("config.yaml" if "config.yaml" in words else None)


def test_underscores_are_hyphens() -> None:
    """`--learning_rate` is `--learning-rate`, and a value keeps its underscores."""
    arguments = parser().parse(["--learning_rate=0.1", "--check_best_cooldown", "2", "--encoder", "mobilenet_v2"])
    assert (arguments.learning_rate, arguments.check_best_cooldown) == ("0.1", "2")
    assert arguments.encoder == "mobilenet_v2"


def test_flags_overrule_the_file(tmp_path: Path) -> None:
    """What is typed wins over the YAML file, and what is in neither is not there."""
    path = tmp_path / "config.yaml"
    path.write_text("data: scans\nepochs: 20\npatience: none\nclasses: [a, b]\n")
    values = gather({"epochs": "3", "model": None}, path, GROUPS)
    assert values == {"data": "scans", "epochs": "3", "patience": None, "classes": ["a", "b"]}


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        ("epoch: 3", UnknownNameError, "Did you mean 'epochs'?"),
        ("data: [a, b]", ConfigError, "data: data/camvid"),
        ("just words", ConfigError, "setting: value"),
        ("callbacks: [StopEarly]", ConfigError, "segmenter.fit(..., callbacks=[...])"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, error: type[ConfigError], expected: str) -> None:
    """A complaint about a YAML file names the file and what should stand there."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(error) as raised:
        gather({}, path, GROUPS)
    assert expected in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_folder_is_no_config_file(tmp_path: Path) -> None:
    """Whoever gives the dataset in the config's place is told the flag."""
    with pytest.raises(ConfigError, match=f"--data {tmp_path}"):
        gather({}, tmp_path, GROUPS)


def test_stages_of_ones_own_stand_in_a_file() -> None:
    """The one word that the shell takes is fine_tune; others are told where stages are written."""
    with pytest.raises(ConfigError, match=r"stages='heads': expected fine_tune\. .* 'easyseg train FILE' takes it"):
        read_value(FitSettings, "stages", "heads")
    assert read_value(FitSettings, "stages", "fine_tune") == "fine_tune"
    assert read_value(FitSettings, "stages", "none") is None


def test_flag_that_stages_leave_without_effect_is_refused(tmp_path: Path) -> None:
    """Every stage of the file says its own."""
    path = tmp_path / "config.yaml"
    path.write_text("stages:\n- {title: heads, train: heads, epochs: 5}\n")
    with pytest.raises(ConfigError, match="epochs=3 has no effect"):
        chosen(FitSettings, gather({"epochs": "3"}, path, GROUPS))
