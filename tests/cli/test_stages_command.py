"""`easyseg stages`: the file it writes, and files in other forms, are understood by `easyseg train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from easyseg import Stage
from easyseg.cli import main
from easyseg.config import FitSettings
from easyseg.models.semantic import build_semantic
from easyseg.training.stages import resolve_stages


@pytest.mark.parametrize(
    ("model", "encoder", "names"),
    [
        ("unet", "resnet18", ["heads", "top", "all"]),
        ("fpn", "tu-convnext_atto", ["heads", "top", "all"]),
        ("torchvision_lraspp", "mobilenet_v3_large", ["heads", "top", "all"]),
    ],
)
def test_what_it_writes_trains(
    model: str, encoder: str, names: list[str], calls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file goes through `easyseg train` unchanged, and its stages fit the model that it was written for."""
    assert main(["stages", model, encoder, "--epochs", "20"]) == 0
    text = capsys.readouterr().out
    file = tmp_path / "stages.yaml"
    file.write_text(text)
    assert main(["train", str(file), "--data", "photos"]) == 0
    settings = calls.keywords("fit")
    network = build_semantic(model, encoder, num_classes=1, weights=None)
    assert calls.keywords("Segmenter") == {"model": network.model_name, "encoder": network.encoder_name}
    rates = {"learning_rate": 1.0, "encoder_learning_rate": 1.0}
    fit = FitSettings.of({**settings, "batch_size": 1}).model_copy(update=rates)
    stages = resolve_stages(fit, network, random_parts=("decoder", "head"))
    assert [stage.name for stage in stages] == names
    assert sum(stage.epochs for stage in stages) == 20
    assert all(f"# {part}" in text for part in network.parts())
    total = sum(parameter.numel() for parameter in network.parameters())
    assert f"{total:,} of {total:,} parameters" in text


def test_wrong_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A model, an encoder or a number of epochs that cannot be is answered as everywhere."""
    assert main(["stages", "unet", "resnet81"]) == 2
    assert "Did you mean 'resnet18'?" in capsys.readouterr().err
    assert main(["stages", "unet", "resnet18", "--epochs", "0"]) == 2
    assert "--epochs 0: expected a whole number of at least 1" in capsys.readouterr().err
    assert main(["stages", "unet"]) == 2
    assert "ENCODER" in capsys.readouterr().err


def test_stages_in_other_forms(calls: Any, tmp_path: Path) -> None:
    """A file with `stage1:`, `stage2:` and so on is read, too, and flags name the default stages and frozen parts."""
    file = tmp_path / "roofs.yaml"
    file.write_text(
        "data: roofs\n"
        "stage1: {title: heads only, train: heads, epochs: 500, lr: 1e-2, step_size: 400}\n"
        "stage2: {title: backbone, train: 'heads, backbone[1:]', epochs: 100, lr: 5e-3, step_size: 70}\n"
        "stage3: {title: everything, train: all, epochs: 200, lr: 5e-3, step_size: 150}\n"
    )
    assert main(["train", str(file)]) == 0
    assert main(["train", "--data", "x", "--stages", "fine_tune", "--freeze", "encoder[0], *.bn1.*"]) == 0
    first, second = (keywords for name, _, keywords in calls.made if name == "fit")
    assert first["stages"][1] == Stage(
        "backbone", train=["heads", "backbone[1:]"], epochs=100, learning_rate=0.005, step_size=70
    )
    assert [stage.epochs for stage in first["stages"]] == [500, 100, 200]
    assert second == {"stages": "fine_tune", "freeze": ("encoder[0]", "*.bn1.*")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage1: {epochs: 5}\n", "stage1 does not say which parts it trains"),
        (
            "stages: [{title: top, epoch: 5}]\n",
            "Stage 'top': No setting of a stage named 'epoch'. Did you mean 'epochs'",
        ),
        ("stages: [{title: top, lr: -1}]\n", "Stage 'top': learning_rate=-1: expected a number above 0"),
        ("stages: []\n", "holds no stage"),
    ],
)
def test_wrong_files_are_refused_before_training(
    text: str, message: str, calls: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in a file is an error that names the stage, and nothing starts."""
    file = tmp_path / "stages.yaml"
    file.write_text(f"data: x\n{text}")
    assert main(["train", str(file)]) == 2
    assert message in capsys.readouterr().err
    assert calls.made == []
