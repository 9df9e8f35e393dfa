"""Each command turns its words into the right calls."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from easyseg.cli import main
from easyseg.cli.predict_command import PictureNames
from easyseg.cli.runs import resolve_last
from easyseg.errors import OutputError


def make_run(folder: Path, seconds: int = 0, config: str = "data: scans\nseed: 4\nepochs: 9\n") -> Path:
    """Make what looks like a finished run, `seconds` after the epoch."""
    folder.mkdir(parents=True)
    (folder / "best.safetensors").write_bytes(b"")
    (folder / "config.yaml").write_text(config)
    os.utime(folder / "best.safetensors", (seconds, seconds))
    return folder


def test_train_passes_on_what_was_given_and_nothing_else(calls: Any) -> None:
    """Settings that were not given are left to the library's defaults."""
    assert main(["train", "--data", "scans", "--encoder", "resnet18", "--epochs", "3", "--ema"]) == 0
    assert calls.made == [
        ("Segmenter", (), {"encoder": "resnet18"}),
        ("fit", ("scans", None), {"epochs": 3, "ema": True}),
    ]


def test_train_reads_yaml(calls: Any, tmp_path: Path) -> None:
    """A YAML file gives the settings, the flags overrule it."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "data: scans\nvalidation: others\nimage_size: 64\nepochs: 20\nlearning_rate: 1e-3\ncallbacks: []\n"
    )
    assert main(["train", str(config), "--epochs", "3"]) == 0
    assert calls.keywords("Segmenter") == {"image_size": (64, 64)}
    assert calls.arguments("fit") == ("scans", "others")
    assert calls.keywords("fit") == {"epochs": 3, "learning_rate": 1e-3, "callbacks": ()}


def test_train_loads_the_dataset_where_there_is_something_to_say_about_it(calls: Any) -> None:
    """Data settings go to load_dataset, with the classes and the seed; the other folder has folders of its own."""
    words = ["--data", "scans", "--masks", "gold", "--ignore", "11", "--classes", "a,b", "--seed", "3"]
    assert main(["train", *words, "--validation", "others"]) == 0
    expected = {"masks": "gold", "ignore": [11], "classes": ["a", "b"], "seed": 3}
    assert calls.made[1] == ("load_dataset", ("scans",), expected)
    assert calls.made[2][:2] == ("fit", ("dataset of scans", "others"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--data"),
        (["--data", "x", "--epochs", "0"], "--epochs 0: "),
        (["--data", "x", "--optimizer", "adamx"], "Did you mean 'adam'?"),
        (["nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_train_refuses_before_anything_starts(
    calls: Any, words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong setting is told before a model is built."""
    assert main(["train", *words]) == 2
    assert expected in capsys.readouterr().err
    assert calls.made == []


def test_evaluate_prints_and_writes_the_figures(calls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report comes out on the terminal and, where asked for, as JSON."""
    file = tmp_path / "out.json"
    words = ["evaluate", "model.safetensors", "--data", "scans", "--split", "test", "--device", "cpu"]
    assert main([*words, "--json", str(file)]) == 0
    assert calls.made[0] == ("load", (Path("model.safetensors"),), {"device": "cpu"})
    assert calls.keywords("evaluate") == {"split": "test"}
    assert calls.arguments("evaluate") == ("scans",)
    assert "mean IoU 0.500" in capsys.readouterr().out
    assert json.loads(file.read_text()) == {"mean_iou": 0.5}


def test_evaluate_prints_flags(calls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What a report says to type is in the words of the shell."""
    assert main(["evaluate", "m.safetensors", "--data", "x"]) == 0
    assert capsys.readouterr().out == "mean IoU 0.500, drawn; --split all measures all\n"


def test_evaluate_says_where_it_cannot_write(calls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON file that cannot be written is named."""
    (tmp_path / "file").write_text("")
    assert main(["evaluate", "m.safetensors", "--data", "x", "--json", str(tmp_path / "file" / "out.json")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_evaluate_takes_the_data_of_the_run(calls: Any, tmp_path: Path) -> None:
    """Without --data, the run's own dataset is measured, read the way it was for training."""
    run = make_run(tmp_path / "a", config="data: scans\nseed: 4\nmasks: gold\nbatch_size: 2\nvalidation: null\n")
    assert main(["evaluate", str(run)]) == 0
    assert calls.keywords("load_dataset") == {"masks": "gold", "seed": 4, "class_map": "the model's class map"}
    assert calls.keywords("evaluate") == {}


def test_evaluate_reads_other_values_for_the_same_classes(calls: Any) -> None:
    """Where flags say what the values mean, the model's names are kept and its values are not."""
    assert main(["evaluate", "m.safetensors", "--data", "scans", "--class-map", "b=7,a=3"]) == 0
    assert calls.keywords("load_dataset") == {"class_map": {"b": 7, "a": 3}, "classes": ("a", "b"), "seed": 4}


def test_evaluate_leaves_the_meaning_of_values_to_the_model(calls: Any, tmp_path: Path) -> None:
    """What the run's config says about classes stands in its model, too; the folder alone is taken from it."""
    run = make_run(
        tmp_path / "a", config="data: scans\nclass_map: {a: 3, b: 7}\nignore: [9]\nvalidation_fraction: 0.3\n"
    )
    assert main(["evaluate", str(run)]) == 0
    assert calls.arguments("evaluate") == ("scans",)


def test_evaluate_finds_files_as_the_training_did(calls: Any, tmp_path: Path) -> None:
    """Which annotation file counts, and what is left out, need not be typed again."""
    config = "data: scans\nannotations: b.json\non_bad_sample: skip\nunlabelled: background\n"
    assert main(["evaluate", str(make_run(tmp_path / "a", config=config))]) == 0
    assert calls.arguments("evaluate") == ("dataset of scans",)
    given = next(settings for called, _, settings in calls.made if called == "load_dataset")
    assert {name: given[name] for name in ("annotations", "on_bad_sample", "unlabelled")} == {
        "annotations": "b.json",
        "on_bad_sample": "skip",
        "unlabelled": "background",
    }


def test_evaluate_needs_data_from_somewhere(calls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model file alone says nothing about data, so the flag is asked for; beside its run's config it does."""
    model = tmp_path / "model.safetensors"
    model.touch()
    assert main(["evaluate", str(model)]) == 2
    assert "--data FOLDER" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text("data: scans\n", encoding="utf-8")
    assert main(["evaluate", str(model)]) == 0
    assert calls.arguments("evaluate") == ("scans",)


def test_evaluate_of_a_run_that_is_not_there_is_told(calls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anybody looks for its data."""
    assert main(["evaluate", "runs/nope"]) == 2
    assert "no run folder or model file 'runs/nope'" in capsys.readouterr().err


def test_predict_saves_a_picture_of_each_image(calls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pictures carry the images' names, inner folders are kept, and equal names are told apart."""
    photos = tmp_path / "photos"
    calls.images = [photos / "a.jpg", photos / "a.tif", photos / "inner" / "a.jpg"]
    target = tmp_path / "out"
    words = ["predict", "model.safetensors", "--source", str(photos), "--to", str(target), "--kind", "mask"]
    photos.mkdir()
    assert main([*words, "--threshold", "0.4"]) == 0
    saved = sorted(path.relative_to(target).as_posix() for path in target.rglob("*.png"))
    assert saved == ["a.png", "a_2.png", "inner/a.png"]
    assert calls.keywords("predict") == {"threshold": 0.4}
    assert calls.keywords("result.save") == {"kind": "mask", "legend": False}
    assert "3 pictures" in capsys.readouterr().out


def test_predict_says_what_the_time_went_into(calls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last line has the rate, the parts that the network's side took, and what the pictures took."""
    calls.images = [tmp_path / "a.jpg"]
    assert main(["predict", "m.safetensors", "--source", "*.jpg", "--to", str(tmp_path / "out")]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("1 image in ")
    assert line.endswith("a second: reading 0%, network 0%, drawing and saving 100%")


def test_predict_replaces_files_only_when_told(calls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Masks of a dataset survive a wrong --to; --overwrite replaces what is there."""
    mask = tmp_path / "masks" / "a.png"
    mask.parent.mkdir()
    mask.write_bytes(b"hours of work")
    calls.images = [tmp_path / "images" / "a.jpg"]
    calls.images[0].parent.mkdir()
    calls.images[0].write_bytes(b"pixels")
    words = ["predict", "m.safetensors", "--source", f"{tmp_path}/images/*.jpg", "--to", str(mask.parent)]
    assert main([*words, "--kind", "mask"]) == 2
    message = capsys.readouterr().err
    assert str(mask) in message
    assert "--overwrite" in message
    assert mask.read_bytes() == b"hours of work"
    assert main([*words, "--kind", "mask", "--overwrite"]) == 0
    assert mask.read_bytes() != b"hours of work"


def test_predict_of_a_pattern_never_mixes_either(tmp_path: Path) -> None:
    """New names among the images of a pattern are refused, too."""
    with pytest.raises(OutputError, match=r"lies among the images.*photos_pictures"):
        PictureNames(tmp_path / "photos" / "*.jpg", tmp_path / "photos").of(tmp_path / "photos" / "a.jpg")


@pytest.mark.parametrize("inside", [".", "inner"])
def test_predict_never_mixes_pictures_with_images(
    calls: Any, tmp_path: Path, inside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A target among the images is refused, so a second run does not find the first one's pictures."""
    assert main(["predict", "m.safetensors", "--source", str(tmp_path), "--to", str(tmp_path / inside)]) == 2
    assert "_pictures" in capsys.readouterr().err
    assert calls.made == []


def test_predict_never_replaces_an_image(tmp_path: Path) -> None:
    """The picture of an image beside it would be the image itself."""
    image = tmp_path / "a.png"
    image.write_bytes(b"pixels")
    with pytest.raises(OutputError, match="replace the image"):
        PictureNames(image, tmp_path).of(image)


def test_last_is_the_newest_run(tmp_path: Path) -> None:
    """runs/last stands for the run that finished last, wherever in the path it is."""
    make_run(tmp_path / "old", seconds=10)
    new = make_run(tmp_path / "new", seconds=20)
    assert resolve_last(tmp_path / "last") == new
    assert resolve_last(tmp_path / "last" / "config.yaml") == new / "config.yaml"
    assert resolve_last(tmp_path / "old") == tmp_path / "old"


def test_newest_run_is_named_where_it_was_not(tmp_path: Path, calls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Who measures runs/last is told which run that is; who names a run is not."""
    make_run(tmp_path / "old", seconds=10)
    new = make_run(tmp_path / "new", seconds=20)
    assert main(["evaluate", str(tmp_path / "last"), "--data", "x"]) == 0
    assert f"The newest run with a model is {new}." in capsys.readouterr().err
    assert main(["evaluate", str(new), "--data", "x"]) == 0
    assert not capsys.readouterr().err


def test_model_of_an_interrupted_run_is_told(tmp_path: Path, calls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Its figures are not those of a finished training."""
    run = make_run(tmp_path / "run")
    (run / "history.csv").write_text("")
    (run / "checkpoints").mkdir()
    assert main(["evaluate", str(run), "--data", "x"]) == 0
    assert f"{run} was interrupted: this is its best model so far" in capsys.readouterr().err


def test_pattern_without_quotes_is_told(calls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The shell has made several words of it."""
    assert main(["predict", "m.safetensors", "--source", "a.png", "b.png", "c.png", "--to", "out"]) == 2
    assert "'b.png'. Put a pattern such as 'photos/*.jpg' into quotes." in capsys.readouterr().err


def test_a_folder_named_last_is_taken_by_its_name(tmp_path: Path) -> None:
    """Where runs/last exists it is meant itself."""
    make_run(tmp_path / "newer", seconds=20)
    last = make_run(tmp_path / "last", seconds=10)
    assert resolve_last(last) == last


def test_last_without_a_run_is_told(tmp_path: Path, calls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """runs/last before any training names the folder that was searched."""
    assert main(["evaluate", str(tmp_path / "last"), "--data", "x"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_list_shows_models_and_encoders(capsys: pytest.CaptureFixture[str]) -> None:
    """Names come one a line; a pattern and a model narrow them."""
    assert main(["list", "models", "unet*"]) == 0
    assert "unet\n" in capsys.readouterr().out
    for words in (["resnet1?", "--model", "unet"], ["--model", "unet", "resnet1?"]):
        assert main(["list", "encoders", *words]) == 0
        assert capsys.readouterr().out.split() == ["resnet18"]
