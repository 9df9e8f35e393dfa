"""`Segmenter` with detectors: the same verbs, on objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectors import make_quick

from easyseg import InstanceResult, Sample, Segmenter, Stage, load_dataset
from easyseg.cli import main
from easyseg.cli.datasets import known_of, open_dataset
from easyseg.cli.predict_command import Saved, save_pictures
from easyseg.config import FitSettings, ModelSettings
from easyseg.data.dataset import Dataset
from easyseg.data.object_readiness import note_on_merged
from easyseg.data.object_sizes import measure_objects
from easyseg.data.reading import as_dataset
from easyseg.devices import Compute
from easyseg.errors import ConfigError, DataError, UnknownNameError
from easyseg.io.checkpoints import save_checkpoint
from easyseg.io.images import write_image
from easyseg.models.instance.anchors import Anchors, measure_anchors
from easyseg.models.instance.model import InstanceModel
from easyseg.models.instance.plan import DetectorPlan
from easyseg.preprocessing import Preprocessing
from easyseg.results import InstanceReport
from easyseg.segmenter import building, planning
from easyseg.segmenter.batch_probe import BatchChoice, ProbeRequest
from easyseg.segmenter.preparing import TrainingData, resolved
from easyseg.segmenter.tasks import TrialShape
from easyseg.segmenter.tasks.instance import InstanceWork
from easyseg.segmenter.tasks.object_pictures import annotated
from easyseg.structures import LabelledObject, MaskPart
from easyseg.training.callbacks import BestTracker, Callback, StepReport

SIZE = 64
QUIET: dict[str, Any] = {"verbose": False, "run_dir": None}


@pytest.fixture(autouse=True, scope="module")
def quick_detectors() -> Iterator[None]:
    """Let detectors look at few boxes."""
    build = building.build_instance

    def quick(*arguments: Any, **settings: Any) -> Any:
        model = build(*arguments, **settings)
        make_quick(model.network)
        model.network.roi_heads.score_thresh = 0.0  # what has hardly learnt is sure of nothing
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build_instance", quick)
        yield


def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (H, W, 3) and (N, H, W) bool masks of one to three discs that do not touch."""
    generator = np.random.default_rng(number)
    image = generator.integers(0, 60, (SIZE, SIZE, 3)).astype(np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    centres = [(16, 16), (16, 46), (46, 30)][: 1 + number % 3]
    masks = np.array([(x - left) ** 2 + (y - top) ** 2 <= (6 + number % 5) ** 2 for top, left in centres])
    image[masks.any(axis=0)] = 230
    return image, masks


def samples(numbers: range, split: str) -> list[Sample]:
    """Return drawn images with an object for each disc."""
    drawn = []
    for number in numbers:
        image, masks = draw(number)
        objects = tuple(LabelledObject("disc", MaskPart(mask.astype(np.uint8))) for mask in masks)
        drawn.append(Sample(image, objects=objects, split=split, label=f"{split}_{number}"))  # type: ignore[arg-type]
    return drawn


@pytest.fixture(scope="module")
def discs() -> Dataset:
    """Return six training and three validation images."""
    return as_dataset([*samples(range(6), "train"), *samples(range(6, 9), "val")])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of images and of masks of 0 and 255, in which discs are not told apart."""
    path = tmp_path_factory.mktemp("data") / "discs"
    for split, numbers in (("train", range(6)), ("val", range(6, 9))):
        for number in numbers:
            image, masks = draw(number)
            write_image(path / split / "images" / f"{number}.png", image)
            write_image(path / split / "masks" / f"{number}.png", (masks.any(axis=0) * 255).astype(np.uint8))
    return path


def segmenter(model: str = "mask_rcnn", **settings: Any) -> Segmenter:
    """Return a small detector with random weights."""
    return Segmenter(model, "test_resnet", **{"weights": None, "image_size": SIZE, "device": "cpu", **settings})


@pytest.fixture(scope="module")
def fitted(discs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Segmenter, Path]:
    """Return a detector that has learnt a little, and its run folder."""
    run = tmp_path_factory.mktemp("runs") / "discs"
    model = segmenter(precision="fp32")
    model.fit(
        discs,
        epochs=12,
        batch_size=2,
        learning_rate=3e-3,
        augment="none",
        patience=None,
        evaluate_every=4,
        run_dir=run,
        verbose=False,
    )
    assert model.history is not None
    assert model.history.best is not None  # it finds something
    return model, run


def test_history_has_the_figures_of_objects(fitted: tuple[Segmenter, Path]) -> None:
    """The monitored one is COCO's."""
    history = fitted[0].history
    assert history is not None
    assert history.monitor == "mask_ap"
    assert {"loss", "mask_ap", "mask_ap50", "box_ap"} <= set(history.names)
    assert not any("/" in name for name in history.names)  # one class is all of them
    assert fitted[0].classes == ["disc"]


def test_evaluation_repeats_the_best_row(fitted: tuple[Segmenter, Path], discs: Dataset) -> None:
    """To the last digit; training images are measured beside it."""
    model = fitted[0]
    report = model.evaluate(discs)
    assert isinstance(report, InstanceReport)
    assert model.history is not None
    assert model.history.best is not None
    for name, value in report.metrics.items():
        assert model.history.best[name] == pytest.approx(value, abs=0, nan_ok=True)
    assert report.training_scores is not None
    assert report.training_scores.num_images == 3
    assert [image.name for image in report.worst(9)]
    assert model.evaluate(discs, split="train").training_scores is None


def test_evaluation_holds_no_dense_masks(
    fitted: tuple[Segmenter, Path], discs: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for its figures nor for its pictures."""
    monkeypatch.setattr(Dataset, "instances", lambda *_: pytest.fail("all masks at once"))
    val = discs.split("val")
    assert fitted[0].evaluate(discs).diagnosis.num_truths == 6
    result = fitted[0].predict(val.image(0), score_threshold=0.0)
    assert InstanceWork().comparison(val, 0, val.image(0), result).ndim == 3
    assert InstanceWork().masks_to_show(val, 0, result)[0].any()


def test_objects_that_do_not_count_cost_nothing(fitted: tuple[Segmenter, Path]) -> None:
    """With `ignore=`, what is found on them is neither right nor wrong, and pictures leave them out."""
    image, masks = draw(8)
    objects = tuple(
        LabelledObject(name, MaskPart(mask)) for name, mask in zip(("disc", "ball", "ball"), masks, strict=True)
    )
    data = as_dataset([Sample(image, objects=objects, split="val", label="balls")], ignore=["ball"])
    assert data.object_classes == ["disc"]
    assert len(annotated(data, 0)) == 1
    truth = data.truth(0)
    assert truth.is_of_every_class.tolist() == [False, True, True]
    assert fitted[0].evaluate(data).diagnosis.num_truths == 1


def test_run_folder_holds_a_report_of_objects(fitted: tuple[Segmenter, Path]) -> None:
    """With pictures, the mistakes, and what the anchors are like."""
    run = fitted[1]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "mask AP" in page
    assert "What holds it back" in page
    assert len(list((run / "samples").glob("*.png"))) == 3
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert "Anchors fit the objects" in log or "Note: anchors miss" in log
    assert "12 objects in 6 images" in log
    assert "batch size 2" in log


def test_saved_detector_finds_the_same(fitted: tuple[Segmenter, Path], discs: Dataset, tmp_path: Path) -> None:
    """Anchors and limits travel with the weights."""
    model = fitted[0]
    loaded = Segmenter.load(model.save(tmp_path / "discs"), device="cpu", precision="fp32")
    image = discs.image(0)
    mine, theirs = (each.predict(image, score_threshold=0.0) for each in (model, loaded))
    assert isinstance(mine, InstanceResult)
    assert len(mine)
    assert np.array_equal(mine.boxes, theirs.boxes)
    assert np.array_equal(mine.scores, theirs.scores)
    assert np.array_equal(mine.masks, theirs.masks)
    assert loaded.network.plan == model.network.plan  # type: ignore[union-attr]
    assert len(model.predict(image, score_threshold=1.0)) == 0


SUITING, TOO_LARGE = Anchors.of((14, 20, 40, 80, 160)), Anchors.of((64, 128, 256, 512, 512))


@pytest.mark.parametrize(("of_weights", "is_kept"), [(SUITING, True), (TOO_LARGE, False)])
def test_weights_of_a_detector_bring_their_anchors_where_these_suit(
    of_weights: Anchors, is_kept: bool, discs: Dataset, tmp_path: Path
) -> None:
    """Else anchors are chosen by the data; the log reports those that were built, and structure is the weights'."""
    plan = DetectorPlan(of_weights, structure="coco_v2", held="all")
    settings = ModelSettings(model="mask_rcnn", encoder="test_resnet", weights=None, image_size=SIZE)
    model = building.build_model(settings, num_classes=1, weights=None, plan=plan)
    path = save_checkpoint(tmp_path / "coco_discs", model.state_dict(), {"plan": model.plan.to_dict()})  # type: ignore[union-attr]
    work, train, canvas = InstanceWork(), discs.split("train"), Preprocessing((SIZE, SIZE))
    changed = settings.model_copy(update={"weights": str(path)})
    ready = work.set_up(train, train, changed, canvas, None)
    assert isinstance(ready.model, InstanceModel)
    assert (ready.model.anchors == of_weights) is is_kept
    assert (ready.model.plan.structure, ready.model.plan.held) == ("coco_v2", "all")
    fit = measure_anchors(ready.model.anchors, measure_objects(train, canvas).boxes, canvas_hw=(SIZE, SIZE))
    assert any(f"recall {fit.recall_50:.1%} at IoU .5, {fit.recall_70:.1%}" in note for note in ready.notes)
    assert fit.recall_50 >= 0.9


def test_limits_of_a_call_reach_the_network(discs: Dataset) -> None:
    """Each has an effect on either side of the network's own, also where several calls take turns."""
    model = segmenter(precision="fp32")
    model.fit(discs, epochs=1, batch_size=2, **QUIET)
    heads = model.network.network.roi_heads  # type: ignore[union-attr]
    heads.score_thresh, heads.nms_thresh, heads.detections_per_img = 0.05, 0.5, 1000
    images = [discs.image(index) for index in range(3)]
    shared = {"score_threshold": 0.0, "batch_size": 1}
    every = model.predict(images, nms_iou=1.0, **shared)
    fewer = model.predict(images, nms_iou=0.0, **shared)
    usual = model.predict(images, nms_iou=0.5, **shared)
    for all_of, few, some in zip(every, fewer, usual, strict=True):
        assert len(few) < len(some) < len(all_of)
        certain = all_of.scores[len(all_of) // 2]
        assert certain > 0
    found = model.predict(images[2], score_threshold=float(certain), nms_iou=1.0)
    assert len(found) == np.count_nonzero(all_of.scores > certain)
    assert (heads.score_thresh, heads.nms_thresh) == (0.05, 0.5)


def test_several_images_come_as_an_iterator(fitted: tuple[Segmenter, Path], discs: Dataset) -> None:
    """In order, each with as many pixels as it has."""
    images = [discs.image(index) for index in range(3)]
    images[1] = images[1][:40]
    found = list(fitted[0].predict(images, score_threshold=0.0))
    assert [result.size_hw for result in found] == [(64, 64), (40, 64), (64, 64)]


class StopsAt(Callback):
    """Stops a training by hand after so many steps."""

    def __init__(self, step: int) -> None:
        self._step = step

    def batch_ended(self, step: StepReport) -> None:
        """Raise what Ctrl-C raises."""
        if step.step == self._step:
            raise KeyboardInterrupt


def test_interrupted_training_goes_on_to_the_same_weights(discs: Dataset, tmp_path: Path) -> None:
    """Whatever a detector draws at random is part of what a checkpoint holds."""
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 2, "verbose": False, "augment": "strong"}
    whole = segmenter(precision="fp32")
    whole.fit(discs, run_dir=tmp_path / "whole", callbacks=[StopsAt(99)], **settings)
    parted = segmenter(precision="fp32")
    with pytest.raises(KeyboardInterrupt):
        parted.fit(
            discs, run_dir=tmp_path / "parted", callbacks=[StopsAt(5)], checkpoint_every_seconds=1e-6, **settings
        )
    parted = segmenter(precision="fp32")
    parted.fit(discs, run_dir=tmp_path / "parted", callbacks=[StopsAt(99)], **settings)
    expected, found = whole.network.state_dict(), parted.network.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_stages_freeze_parts_of_a_detector(discs: Dataset) -> None:
    """First the heads, then the deepest stage of the encoder, then all."""
    heads = Stage("heads", train="heads", epochs=1, learning_rate=1e-3)
    top = Stage("top", train=["heads", "encoder[-1]"], epochs=1, learning_rate=5e-4)
    model = segmenter()
    with pytest.raises(ConfigError, match="encoder"):  # which starts at random, and would stay so
        model.fit(discs, stages=[heads], batch_size=2, **QUIET)
    model.fit(discs, epochs=1, batch_size=2, **QUIET)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    history = model.fit(discs, stages=[heads, top], batch_size=2, **QUIET)
    assert [row["stage"] for row in history.rows] == ["heads", "top"]
    {name for name, value in model.network.state_dict().items() if not torch.equal(value, before[name])}


def test_masks_that_do_not_tell_objects_apart_are_parted(folder: Path) -> None:
    """Each region is an object, and somebody says so; a saved model reads the same data the same way."""
    model = segmenter()
    model.fit(folder, epochs=1, batch_size=2, **QUIET)
    assert model.classes == ["foreground"]
    assert model.evaluate(folder).diagnosis.num_truths == 6
    dataset = InstanceWork().suited(load_dataset(folder))
    assert any("connected region" in note for note in dataset.notes)
    assert [len(annotated(dataset.split("train"), at)) for at in range(6)] == [1, 2, 3, 1, 2, 3]


def test_what_is_a_speck_goes_with_the_model(folder: Path, tmp_path: Path) -> None:
    """Objects of a folder are found by what the training took for one, by a loaded model, too."""
    dataset = load_dataset(folder).as_instances(smallest_pixels=180)
    model = segmenter()
    model.fit(dataset, epochs=1, batch_size=2, **QUIET)
    loaded = Segmenter.load(model.save(tmp_path / "discs"), device="cpu")
    found = [each.evaluate(data).diagnosis.num_truths for each in (model, loaded) for data in (dataset, folder)]
    assert found == [5] * 4


def test_config_parts_masks_the_same_way(folder: Path, tmp_path: Path) -> None:
    """What a dataset was parted by stands in `config.yaml`, which runs the training again."""
    run = tmp_path / "run"
    data = load_dataset(folder).as_instances(smallest_pixels=100)
    segmenter().fit(data, epochs=1, run_dir=run, verbose=False)
    assert "smallest_pixels: 100" in (run / "config.yaml").read_text(encoding="utf-8")
    again = tmp_path / "again"
    assert main(["train", str(run / "config.yaml"), "--run-dir", str(again)]) == 0
    logs = [(place / "log.txt").read_text(encoding="utf-8") for place in (run, again)]
    found = [next(line for line in log.splitlines() if " objects in " in line).split("  ")[-1] for log in logs]
    assert found[0] == found[1]


def test_validation_images_may_have_masks_alone(folder: Path) -> None:
    """They are parted as those of the training were."""
    train = load_dataset(folder).as_instances().split("train")
    model = segmenter()
    model.fit(train, validation=load_dataset(folder).split("val"), epochs=1, batch_size=2, **QUIET)
    assert model.history is not None
    assert "mask_ap" in model.history.names


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"loss": "dice"}, "loss"), ({"class_weights": "balanced"}, "class_weights"), ({"oversample": 0.5}, "oversample")],
)
def test_settings_for_pixels_are_refused(discs: Dataset, settings: dict[str, Any], words: str) -> None:
    """They would have no effect."""
    with pytest.raises(ConfigError, match=f"{words}=.*Take {words} out"):
        segmenter().fit(discs, epochs=1, **settings, **QUIET)


@pytest.mark.parametrize("monitor", ["mean_iou", "mask_app", "mask_ap/disk"])
def test_figures_of_pixels_cannot_be_monitored(discs: Dataset, monitor: str) -> None:
    """Neither can misspelt ones."""
    with pytest.raises(UnknownNameError):
        segmenter().fit(discs, epochs=1, monitor=monitor, **QUIET)


def test_validation_without_any_object_is_refused() -> None:
    """No epoch could be the best."""
    empty = Sample(draw(0)[0], objects=(), split="val")
    with pytest.raises(DataError, match="only validation image has no object"):
        segmenter().fit(as_dataset([*samples(range(3), "train"), empty]), epochs=1, **QUIET)


def test_nothing_found_is_no_best_epoch() -> None:
    """Neither does patience begin before something is found."""
    best = BestTracker("mask_ap", direction="max", floor=InstanceWork().floor)
    found = [best.is_better({"mask_ap": value}, epoch=epoch) for epoch, value in enumerate([0.0, 0.0, 0.1, 0.0])]
    assert found == [False, False, True, False]


def test_report_on_a_model_that_finds_nothing(discs: Dataset, tmp_path: Path) -> None:
    """Then of all times a person wants to know what holds it back."""
    segmenter = Segmenter("mask_rcnn", "test_resnet", weights=None, image_size=SIZE)
    run = tmp_path / "run"
    segmenter.fit(discs, epochs=1, learning_rate=1e-9, augment="none", run_dir=run, verbose=False)
    assert segmenter.history is not None
    assert segmenter.history.best is None, "in this test, nothing may be found"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "no evaluation was kept as the best. The figures are those of the last weights." in page
    assert "What holds it back" in page
    assert (run / "best.safetensors").is_file()


def test_anchors_of_crops_are_measured_on_whole_images() -> None:
    """Boxes lie anywhere in them."""
    dataset = as_dataset(samples(range(6), "train"))
    cropped = segmenter(image_size=32, resize="crop")
    cropped.fit(
        as_dataset([*samples(range(6), "train"), *samples(range(6, 9), "val")]), epochs=1, batch_size=2, **QUIET
    )
    sizes = measure_objects(dataset, Preprocessing((32, 32), "crop"))
    assert measure_anchors(cropped.network.anchors, sizes.boxes, canvas_hw=(64, 64)).recall_50 == 1.0  # type: ignore[union-attr]


def test_data_without_any_object_is_refused_before_the_first_step(discs: Dataset) -> None:
    """By what is missing."""
    empty = [Sample(draw(at)[0], objects=(), split="train" if at else "val") for at in range(4)]
    drawn = samples(range(1), "val")
    with pytest.raises(DataError, match="has an object"):
        segmenter().fit(as_dataset([*empty[1:], *drawn]), epochs=1, **QUIET)


def test_memory_is_tried_with_as_many_objects_as_images_have(discs: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a mask of its own, so that hundreds of them decide what a step takes."""
    work = InstanceWork()
    assert work.objects_per_image(discs.split("train")) == 3
    assert work.objects_per_image(replace(discs, samples=())) == 0
    settings = ModelSettings(model="mask_rcnn", encoder="test_resnet", weights=None, image_size=SIZE)
    for count, expected in ((7, 7), (0, 1)):
        batch = work.trial_batch(settings, TrialShape(1, "multiclass", 2, (SIZE, SIZE), count))
        assert [len(target) for target in batch.targets] == [expected] * 2
    asked: list[ProbeRequest] = []

    def noted(usual: int, request: ProbeRequest, **_: Any) -> BatchChoice:
        asked.append(request)
        return BatchChoice(usual)

    monkeypatch.setattr(planning, "choose_fitting_batch", noted)
    segmenter().fit(discs, epochs=1, **QUIET)
    assert [request.num_objects for request in asked] == [3]


@pytest.mark.parametrize("weights", [None, "imagenet", "coco"])
def test_detectors_learn_slowly(weights: str | None, discs: Dataset) -> None:
    """At a fifth of the rate of others; a pretrained encoder at a tenth of that."""
    halves = TrainingData(discs, discs.split("train"), discs.split("val"))
    settings = ModelSettings(model="mask_rcnn", encoder="resnet50", weights=weights, image_size=SIZE)
    chosen = resolved(FitSettings(), halves, settings, Compute(torch.device("cpu"), torch.float32), goes_on=False)
    assert chosen.learning_rate == 2e-4
    assert chosen.encoder_learning_rate == pytest.approx(2e-4 if weights is None else 2e-5)


def test_boxes_alone(discs: Dataset, tmp_path: Path) -> None:
    """Faster R-CNN has no masks to measure or draw."""
    model = segmenter("faster_rcnn")
    history = model.fit(discs, epochs=1, batch_size=2, run_dir=tmp_path / "run", verbose=False)
    assert history.monitor == "box_ap"
    result = model.predict(discs.image(0), score_threshold=0.0)
    assert not result.has_masks
    result.save(tmp_path / "boxes.png")
    assert model.evaluate(discs).kind == "box"


def test_words_of_other_verbs() -> None:
    """An evaluation counts predictions of every score; the word for one of a prediction says where it belongs."""
    with pytest.raises(
        UnknownNameError, match=r"Segmenter\.evaluate .* Type segmenter\.predict\(\.\.\., score_threshold="
    ):
        segmenter().evaluate("x", score_threshold=0.3)  # type: ignore[call-arg]


def test_boxes_are_enough_for_a_detector_of_boxes(discs: Dataset, tmp_path: Path) -> None:
    """Faster R-CNN reads a folder of boxes as it is, for training and evaluation; Mask R-CNN says who does."""
    folder = tmp_path / "yolo"
    for index, sample in enumerate(discs.samples):
        for kind in ("images", "labels"):
            (folder / str(sample.split) / kind).mkdir(parents=True, exist_ok=True)
        write_image(folder / str(sample.split) / f"images/{index}.png", discs.image(index))
        corners = discs.instances(index).boxes / SIZE
        rows = [f"0 {(a + c) / 2} {(b + d) / 2} {c - a} {d - b}\n" for a, b, c, d in corners.tolist()]
        (folder / str(sample.split) / f"labels/{index}.txt").write_text("".join(rows), encoding="utf-8")
    with pytest.raises(DataError, match=r"faster_rcnn.*learns boxes as they are"):
        segmenter("mask_rcnn").fit(folder, epochs=1, batch_size=2, run_dir=None, verbose=False)
    model = segmenter("faster_rcnn")
    history = model.fit(folder, epochs=1, batch_size=2, run_dir=tmp_path / "run", verbose=False)
    assert "box_ap" in history.names
    report = model.evaluate(folder)
    assert report.kind == "box"
    assert report.diagnosis.num_truths == sum(len(discs.instances(index)) for index in range(6, 9))
    assert [len(load_dataset(folder, boxes="fill").instances(at)) for at in range(3)] == [1, 2, 3]
    assert known_of(segmenter()) == {}
    assert len(open_dataset(str(folder), {"on_bad_sample": "skip"}, known_of(model))) == 9


def test_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Train, evaluate and predict."""
    run, shared = str(tmp_path / "run"), ["--device", "cpu"]
    words = ["--model", "mask_rcnn", "--encoder", "test_resnet", "--weights", "none", "--image-size", "64"]
    words += ["--epochs", "1", "--batch-size", "2", "--run-dir", run, "--verbose", "false"]
    assert main(["train", "--data", str(folder), *words, *shared]) == 0
    assert main(["evaluate", run, *shared, "--json", str(tmp_path / "report.json")]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["metrics"]["mask_ap"] is not None
    pictures = tmp_path / "pictures"
    source = str(folder / "val" / "images")
    assert main(["predict", run, "--source", source, "--to", str(pictures), "--score-threshold", "0", *shared]) == 0
    assert len(list(pictures.glob("*.png"))) == 3
    spoken = capsys.readouterr().out
    one, table = str(folder / "val" / "images" / "6.png"), tmp_path / "tables" / "found.csv"
    words = ["--kind", "mask", "--table", str(table)]
    assert main(["predict", run, "--source", one, "--to", str(tmp_path / "one"), *words, *shared]) == 0
    assert table.read_text().startswith("image,class,score,x1,y1,x2,y2,area\n")
    assert main(["predict", run, "--source", one, "--to", str(tmp_path / "two"), *words, *shared]) == 2
    assert "found.csv exists already" in capsys.readouterr().err
    assert len(list((tmp_path / "one").glob("*.png"))) == 1
    assert "6 objects" in spoken


def test_legends_are_for_masks_of_classes(fitted: tuple[Segmenter, Path], discs: Dataset, tmp_path: Path) -> None:
    """A flag without effect is refused; without it, pictures and objects are counted."""
    results = [fitted[0].predict(discs.image(0))] * 2
    with pytest.raises(ConfigError, match="legend"):
        save_pictures(results, lambda image: tmp_path / "a.png", kind="overlay", legend=True)
    saved = save_pictures(results, lambda image: tmp_path / "a.png", kind="overlay")
    assert saved == Saved(pictures=2, objects=2 * len(results[0]))
    assert Saved(1, 1).words() == "1 picture with 1 object"
    assert Saved(3).words() == "3 pictures"


def test_learning_rate_is_found_for_detectors(discs: Dataset) -> None:
    """The same sweep, and the model stays as it is."""
    curve = segmenter().find_learning_rate(discs, steps=12, batch_size=2)
    assert curve.suggestion > 0


def test_summary_names_the_parts() -> None:
    """Before any training."""
    text = str(segmenter(classes=["disc"]).summary())
    assert all(part in text for part in ("encoder[0]", "fpn", "rpn", "roi_heads"))


def test_all_objects_of_an_image_in_one_mask_are_named_before_training(discs: Dataset, tmp_path: Path) -> None:
    """And not where each has its own, or where few images have a single one in parts."""

    def merged(numbers: range, split: str) -> list[Sample]:
        drawn = []
        for number in numbers:
            image, masks = draw(number)
            objects = (LabelledObject("disc", MaskPart(masks.any(axis=0).astype(np.uint8))),)
            drawn.append(Sample(image, objects=objects, split=split))  # type: ignore[arg-type]
        return drawn

    def notes(*samples: Sample) -> str:
        dataset = as_dataset(list(samples)).split("train")
        return " ".join(note_on_merged(dataset, measure_objects(dataset, Preprocessing((SIZE, SIZE)))))

    assert "in 4 of 6 images looked at" in notes(*merged(range(6), "train"))
    assert notes(*samples(range(6), "train")) == ""
    assert notes(*merged(range(0, 6, 3), "train"), *merged(range(1, 3), "train")) == ""
    segmenter().fit(
        as_dataset([*merged(range(6), "train"), *merged(range(6, 9), "val")]),
        epochs=1,
        batch_size=2,
        run_dir=tmp_path / "run",
        verbose=False,
    )
    assert "hold all objects of its image" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
