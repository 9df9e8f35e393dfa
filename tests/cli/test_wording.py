"""What the library advises in Python, a command advises in flags."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from easyseg.cli import main, train_command
from easyseg.cli.options import gather
from easyseg.cli.wording import as_typed
from easyseg.config import DataSettings, FitSettings, ModelSettings
from easyseg.errors import WeightsError, hint_wording

VALUES = {
    "class_map": {"membrane": 0, "the road": (128, 64, 255)},
    "ignore": [11, (0, 0, 0)],
    "classes": ["a", "b"],
    "image_size": (192, 256),
    "weights": None,
    "run_dir": "runs/it's mine",
    "patience": None,
    "ema": True,
    "compile": False,
    "learning_rate": 1e-05,
    "loss": "0.5*ce+dice",
    "workers": 0,
}


@pytest.mark.parametrize("name", VALUES)
def test_a_flag_means_what_python_meant(name: str) -> None:
    """What stands behind the flag is read back as the value that the hint had."""
    said = as_typed(f"{name}={VALUES[name]!r}")
    assert said.startswith("--")
    groups = (ModelSettings, DataSettings, FitSettings)
    found = gather(vars(train_command.parser().parse(shlex.split(said))), None, groups)
    group = next(group for group in groups if name in group.model_fields)
    assert getattr(group.of({name: found[name]}), name) == getattr(group.of({name: VALUES[name]}), name)


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("Type class_map={'membrane': 0}.", "Type --class-map membrane=0."),
        ("Type weights=None, or weights='imagenet'; or", "Type --weights none, or --weights imagenet; or"),
        ("cache='ram': it is full", "--cache ram: it is full"),
        ("class_map={'name': value, 'b': 2}", "--class-map name=value,b=2"),
        ("class_map={'name': (r, g, b), ...}", "--class-map 'name=#rrggbb,...'"),
        ("ignore=[value, ...] or ignore=[...]", "--ignore value,... or --ignore ..."),
        ("images='...', masks='...'", "--images ..., --masks ..."),
        ("validation=...; to evaluate", "--validation ...; to evaluate"),
        ("epochs=True: expected", "--epochs true: expected"),
        ("See easyseg.list_encoders().", "See easyseg list encoders."),
        ("easyseg.list_encoders('res*', model='pan')", "easyseg list encoders 'res*' --model pan"),
        ("See easyseg.list_models().", "See easyseg list models."),
        (
            "Segmenter('unet', 'resnet18', weights='coco')",
            "--model unet --encoder resnet18 --weights coco",
        ),
        ("Type Segmenter(..., in_channels=...) here", "Type --in-channels ... here"),
        ("Type load_dataset(..., classes=['a']).", "Type --classes a."),
        ("Type object_classes=[...] with the names of those.", "Type --object-classes ... with the names of those."),
        ("Type load_dataset(path, boxes='fill').", "Type --boxes fill."),
        (
            "class_map={'road': 3, 'vehicle': [8, 9], 'other': 'rest'}",
            "--class-map road=3,vehicle=8,9,other=rest",
        ),
        ("class_map={'water': [(0, 0, 255), (0, 0, 170)]}", "--class-map 'water=#0000ff,#0000aa'"),
        ("name them with class_map={..., 'other': 'rest'}.", "name them with --class-map ...,other=rest."),
        ("values that class_map does not name", "values that --class-map does not name"),
        ("Type another run_dir, such as run_dir='/a/b'.", "Type another --run-dir, such as --run-dir /a/b."),
        ("classes= and ignore= would change it", "--classes and --ignore would change it"),
        ("holds 12, which ignore= names; 1 mask", "holds 12, which --ignore names; 1 mask"),
        (
            "image_size=(12, 3, 3): expected 2 values or None. image_size: Height",
            "--image-size 12,3,3: expected 2 values or none. --image-size: Height",
        ),
        ("drawn with seed 0; split='all' measures all", "drawn with seed 0; --split all measures all"),
        ("stages='quick': expected fine_tune", "--stages quick: expected fine_tune"),
        ("class_map={'vehicle': ['car', 'bus']}", "--class-map vehicle=car,vehicle=bus"),
        ("Type ignore=[-1, 255].", "Type --ignore=-1,255."),
    ],
)
def test_hints_are_put_in_the_words_of_the_shell(hint: str, expected: str) -> None:
    """Settings, calls and places to be filled in come out as one would type them."""
    assert as_typed(hint) == expected


@pytest.mark.parametrize(
    "text",
    [
        "/data/seed=0/a.png: the file is empty",
        "/data/run_dir: there is no folder",
        "No setting named 'run_dirs'. Did you mean 'run_dir'?",
        "There is no folder 'seed= 0'.",
        "one of several batches, or None of them",
        "data/images=0.png",
        "seed=0.png is no image",
        "There is no folder 'runs/rate=0.1,seed=0'.",
        "There is no folder 'seed=0'.",
        "/data/run (seed=0)/a.png: the file is empty",
        "seed=0,epochs=3/a.png: the file is empty",
        "https://example.com/?seed=0&epochs=3",
        "classes=['a, b']",
        "class_map={'a, b': 1}",
        "epochs are 3, loss 0.5",
        "speed=3",
        "callbacks=[]",
        "segmenter.fit(..., callbacks=[...])",
        "Segmenter(...)",
        "Segmenter.load(path)",
        "Segmenter(speed=3)",
        "Segmenter",
        "ignore=[",
        "ignore=[(1, 2)]",
        "ignore=[(1, 2, 300)]",
        "class_map=segmenter.class_map",
        "validation=load_dataset(..., class_map=training.class_map)",
        "easyseg.list_encoders(**options)",
    ],
)
def test_everything_else_stays_as_it_is(text: str) -> None:
    """Paths, figures, words that are no setting, and what no flag can say are left alone."""
    assert as_typed(text) == text


def test_errors_and_notes_of_a_command_speak_its_language(
    calls: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both go through the translation; outside of a command, Python's words stay."""
    noted = []

    def refuse(words: list[str]) -> int:
        noted.append(hint_wording.get()("type ignore=[11]"))
        raise WeightsError("Type weights=None.")

    monkeypatch.setattr(train_command, "run", refuse)
    assert main(["train"]) == 2
    assert capsys.readouterr().err == "easyseg: Type --weights none.\n"
    assert noted == ["type --ignore 11"]
    assert hint_wording.get()("type ignore=[11]") == "type ignore=[11]"
