"""The class itself: what it refuses, what it knows before training, saving and loading."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from easyseg import Segmenter
from easyseg.errors import CheckpointError, ConfigError, ModelError, UnknownNameError, WeightsError
from easyseg.io.checkpoints import load_checkpoint, save_checkpoint

Hash = Callable[[Segmenter], str]


@pytest.fixture(scope="module")
def saved(fitted: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a trained model."""
    return fitted.save(tmp_path_factory.mktemp("models") / "shapes")


def test_construction_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no model, no device until a verb needs them."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("easyseg.segmenter.facade.resolve_compute", refuse)
    monkeypatch.setattr("easyseg.segmenter.fitted.build_model", refuse)
    segmenter = Segmenter("unet", "resnet50", weights="imagenet", image_size=96)
    assert segmenter.settings.image_size == (96, 96)
    assert segmenter.class_map is None
    assert segmenter.classes is None
    assert segmenter.history is None
    assert repr(segmenter) == "Segmenter('unet', 'resnet50'): not trained"


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"model": "unett"}, UnknownNameError, "No model named 'unett'. Did you mean 'unet'?"),
        ({"encoder": "resnet43"}, UnknownNameError, "No encoder named 'resnet43'. Did you mean 'resnet34'?"),
        ({"model": "dpt", "encoder": "resnet18"}, ModelError, "does not go with the encoder 'resnet18'"),
        ({"image_size": 0}, ConfigError, "image_size=0"),
        ({"resize": "squash"}, ConfigError, "resize='squash'"),
        ({"in_channels": 0}, ConfigError, "in_channels=0"),
        ({"precision": "fp8"}, ConfigError, "precision='fp8'"),
        ({"seed": -1}, ConfigError, "seed=-1"),
    ],
)
def test_impossible_arguments_are_refused_at_once(arguments: dict[str, Any], kind: type[Exception], words: str) -> None:
    """The error comes from the constructor and names the argument, or what fits."""
    with pytest.raises(kind) as caught:
        Segmenter(**arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "verb",
    [
        lambda segmenter: segmenter.evaluate("data"),
        lambda segmenter: segmenter.predict("image.png"),
        lambda segmenter: segmenter.save("model"),
        lambda segmenter: segmenter.network,
    ],
)
def test_verbs_need_a_trained_model(verb: Callable[[Segmenter], Any]) -> None:
    """Before training, they say what to type."""
    with pytest.raises(ModelError, match=r"no trained model yet. Type segmenter.fit\(data\) first, or Segmenter.load"):
        verb(Segmenter())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Segmenter("unet", encodr="resnet18"), r"Segmenter named 'encodr'.*'encoder'.*help\(Segmenter\)"),
        (lambda: Segmenter().fit("data", epoch=3), r"Segmenter\.fit named 'epoch'.*'epochs'"),
        (lambda: Segmenter().evaluate("data", splt="test"), "'splt'.*'split'"),
        (lambda: Segmenter().predict("a.png", treshold=0.4), "'treshold'.*'threshold'"),
        (lambda: Segmenter().fit("data", ignore=[11]), r"'ignore'\. Type load_dataset\(path, ignore=\.\.\.\) in place"),
        (lambda: Segmenter().fit("data", classes=["a"]), r"Type Segmenter\(\.\.\., classes=\.\.\.\)\."),
        (lambda: Segmenter(epochs=3), r"Type segmenter\.fit\(\.\.\., epochs=\.\.\.\)\."),
        (lambda: Segmenter.load("runs/last", devise="cpu"), r"Segmenter\.load named 'devise'.*'device'"),
    ],
)
def test_misspelt_arguments_name_the_nearest(call: Callable[[], Any], words: str) -> None:
    """So do those of another function; Python's own TypeError would leave the reader to search."""
    with pytest.raises(UnknownNameError, match=words):
        call()


def test_wrong_device_is_told_when_it_is_needed() -> None:
    """The device is looked for once, by the first verb."""
    segmenter = Segmenter(device="cuda:99")
    with pytest.raises(ConfigError, match=r"device='cuda:99' cannot be used here"):
        _ = segmenter.compute


def test_classes_given_are_known_before_training() -> None:
    """Whoever names the classes can ask for them."""
    assert Segmenter(classes=["road", "sky"]).classes == ["road", "sky"]


def test_summary_describes_the_model_before_and_after_training(fitted: Segmenter) -> None:
    """The same architecture with the same number of classes has the same size."""
    before = Segmenter("unet", "test_resnet", classes=["a", "b", "c", "d"], weights="imagenet", image_size=32)
    assert "encoder" in str(before.summary())
    assert str(before.summary()) == str(fitted.summary())


def test_trained_model_knows_its_classes(fitted: Segmenter) -> None:
    """They come from the data."""
    assert fitted.classes == ["background", "disc", "square", "triangle"]
    assert fitted.class_map is not None
    assert fitted.class_map.task == "multiclass"
    assert repr(fitted) == "Segmenter('unet', 'test_resnet'): 4 classes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Segmenter, "classes", ["roof"])
        assert repr(fitted) == "Segmenter('unet', 'test_resnet'): 1 class"
    assert fitted.history is not None
    assert len(fitted.history) == 2


def test_network_takes_bytes_and_gives_logits(fitted: Segmenter) -> None:
    """It normalises inside, and is ready for evaluation."""
    assert not fitted.network.training
    images = torch.zeros(2, 3, 33, 47, dtype=torch.uint8)
    with torch.inference_mode():
        assert fitted.network(images).shape == (2, 4, 33, 47)


def test_loaded_model_is_the_saved_one(fitted: Segmenter, saved: Path, weights_hash: Hash) -> None:
    """Weights, classes and settings are equal; only where training started from is forgotten."""
    assert saved.name == "shapes.safetensors"
    loaded = Segmenter.load(saved)
    assert weights_hash(loaded) == weights_hash(fitted)
    assert loaded.class_map == fitted.class_map
    assert loaded.settings == fitted.settings.model_copy(update={"weights": None, "classes": fitted.classes})
    assert loaded.history is None
    assert not loaded.network.training


def test_saving_again_gives_the_same_file(saved: Path, tmp_path: Path) -> None:
    """A loaded model lost nothing on the way."""
    again = Segmenter.load(saved).save(tmp_path / "again.safetensors")
    assert again.read_bytes() == saved.read_bytes()


def test_device_and_precision_are_the_loaders_choice(saved: Path) -> None:
    """They belong to the machine, not to the model."""
    loaded = Segmenter.load(saved, device="cpu", precision="fp32")
    assert (loaded.compute.device.type, loaded.compute.precision) == ("cpu", "fp32")
    assert loaded.settings.precision == "fp32"
    with pytest.raises(ConfigError, match=r"device='cuda:99'"):
        Segmenter.load(saved, device="cuda:99")


def test_run_folder_and_last_run_can_be_loaded(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights_hash: Hash
) -> None:
    """A folder stands for its best model, and runs/last for the newest."""
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    shutil.copy(saved, run / "best.safetensors")
    monkeypatch.chdir(tmp_path)
    expected = weights_hash(Segmenter.load(saved))
    assert weights_hash(Segmenter.load(run)) == expected
    assert weights_hash(Segmenter.load("runs/last")) == expected
    with pytest.raises(CheckpointError, match=r"elsewhere holds no finished run"):
        Segmenter.load("elsewhere/last")


def test_model_in_use_does_not_need_its_file(saved: Path, tmp_path: Path, weights_hash: Hash) -> None:
    """The file may be overwritten or deleted after loading."""
    copy = Path(shutil.copy(saved, tmp_path / "copy.safetensors"))
    loaded = Segmenter.load(copy)
    copy.write_bytes(b"\xff" * copy.stat().st_size)
    copy.unlink()
    assert weights_hash(loaded) == weights_hash(Segmenter.load(saved))


def test_random_numbers_are_left_alone(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving, loading and describing do not move torch's or numpy's generator, nor those of GPUs."""
    reseeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded.append)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tobytes()
    loaded = Segmenter.load(saved)
    loaded.save(tmp_path / "copy")
    Segmenter("unet", "test_resnet").summary()
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tobytes() == numpy_state
    assert not reseeded


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("settings", None),
        ("settings", []),
        ("settings", "unet"),
        ("settings", {"model": "unknown"}),
        ("settings", {"layers": 3}),
        ("settings", {"model": "unet", "encoder": "test_resnet", "in_channels": "many"}),
        ("class_map", None),
        ("class_map", []),
        ("class_map", {"names": 3}),
        ("class_map", {"task": "multiclass", "names": []}),
        ("class_map", {"task": "multiclass", "names": ["a"], "colors": 3}),
        ("class_map", {"task": "multiclass", "names": ["a"], "surprise": 3}),
        ("preprocessing", None),
        ("preprocessing", {"image_size": "large"}),
        ("batch_size", "many"),
        ("metrics", 3),
        ("split", 3),
    ],
)
def test_header_that_describes_no_model_is_refused(saved: Path, tmp_path: Path, key: str, value: object) -> None:
    """Whatever stands in a field of the header, the error is a CheckpointError with the file's name."""
    checkpoint = load_checkpoint(saved)
    path = tmp_path / "strange.safetensors"
    header = {**checkpoint.header, key: value}
    save_checkpoint(path, checkpoint.tensors, header)
    with pytest.raises(CheckpointError, match=r"strange\.safetensors"):
        Segmenter.load(path)


@pytest.mark.parametrize("key", ["settings", "class_map", "preprocessing", "batch_size", "metrics", "split"])
def test_header_that_lacks_a_field_is_refused(saved: Path, tmp_path: Path, key: str) -> None:
    """The error names the file and the field."""
    checkpoint = load_checkpoint(saved)
    header = {name: value for name, value in checkpoint.header.items() if name != key}
    path = save_checkpoint(tmp_path / "strange.safetensors", checkpoint.tensors, header)
    with pytest.raises(CheckpointError, match=rf"strange\.safetensors.*'{key}'"):
        Segmenter.load(path)


def test_weights_of_another_model_are_refused(saved: Path, tmp_path: Path) -> None:
    """A header that describes another architecture does not fit the tensors."""
    checkpoint = load_checkpoint(saved)
    header = json.loads(json.dumps(checkpoint.header))
    header["settings"]["encoder"] = "resnet18"
    path = save_checkpoint(tmp_path / "strange.safetensors", checkpoint.tensors, header)
    with pytest.raises(CheckpointError, match=r"does not fit the model its header describes"):
        Segmenter.load(path)


def test_loads_and_measures_where_nothing_can_be_unpickled_or_reached(
    fitted: Segmenter, saved: Path, shapes: Path, tmp_path: Path
) -> None:
    """In a process in which pickle and sockets raise, the figures are those of here, to the last bit."""
    report = fitted.evaluate(shapes)
    script = tmp_path / "strict.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            import torch, torchvision, timm, segmentation_models_pytorch, albumentations  # their imports may pickle
            from easyseg import Segmenter
            import easyseg.segmenter, _pickle, pickle, socket

            def refuse(*_, **__):
                raise AssertionError("unpickled, or reached for the network")

            for module in (pickle, _pickle):
                for name in ("load", "loads", "Unpickler"):
                    setattr(module, name, refuse)
            pickle._Unpickler = pickle._load = pickle._loads = torch.load = refuse
            socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse

            torch.set_num_threads(1)
            report = Segmenter.load(sys.argv[1]).evaluate(sys.argv[2])
            print({name: value.hex() for name, value in report.scores.to_dict(report.class_map.names).items()})
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", script, saved, shapes],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    figures = report.scores.to_dict(report.class_map.names)
    assert done.stdout.strip() == str({name: float(value).hex() for name, value in figures.items()})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"weights": "coco"}, r"'coco' exist for torchvision's models only.*'unet'"),
        ({"weights": "imagnet"}, r"no weights 'imagnet'.*weights='imagenet'"),
        ({"weights": "nowhere/encoder.safetensors"}, "nowhere/encoder.safetensors: no such file"),
        ({"weights": Path("encoder.pth")}, r"encoder\.pth: weights are read from \.safetensors files only"),
        ({"model": "torchvision_fcn", "encoder": "resnet50", "weights": "imagenet21k"}, "no weights 'imagenet21k'"),
    ],
)
def test_weights_that_cannot_exist_are_refused_at_once(arguments: dict[str, Any], words: str) -> None:
    """Before any dataset is read or anything is fetched."""
    with pytest.raises(WeightsError, match=words):
        Segmenter(**{"model": "unet", "encoder": "resnet18", **arguments})


def test_weights_may_be_given_as_a_path(saved: Path) -> None:
    """A Path means the same as its text."""
    segmenter = Segmenter("unet", "test_resnet", weights=saved, image_size=32)
    assert segmenter.settings.weights == str(saved)
