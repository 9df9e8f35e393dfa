"""Stages with nothing left open: parts, rates, schedules; what is refused; and the table that shows them."""

from __future__ import annotations

import json
import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from easyseg import Stage
from easyseg.config import FitSettings
from easyseg.devices import resolve_compute
from easyseg.errors import ConfigError, UnknownNameError
from easyseg.models.semantic import build_semantic
from easyseg.training.depth import layers_of
from easyseg.training.optim import build_optimizer, learning_rate_factor, set_learning_rate
from easyseg.training.parts import names_by_part
from easyseg.training.progress import Clock, LoopPlan, Position
from easyseg.training.stage_table import stage_table
from easyseg.training.stages import fine_tune_stages, resolve_stages

SCHEDULES = ("onecycle", "cosine", "poly", "step", "constant")


@pytest.fixture(scope="module")
def model():
    """A real network with random weights; tests that freeze parts of it free them again."""
    torch.manual_seed(0)
    return build_semantic("unet", "resnet18", num_classes=2, weights=None)


def fit_settings(**values):
    """Return settings with the numbers that "auto" has become by the time stages are worked out."""
    numbers = {"epochs": 10, "learning_rate": 1e-2, "encoder_learning_rate": 1e-3}
    missing = {name: number for name, number in numbers.items() if name not in values}
    return FitSettings.of({"batch_size": 8, **values}).model_copy(update=missing)


def resolved(model, *stages, **values):
    """Return the stages worked out for a model."""
    return resolve_stages(fit_settings(stages=list(stages), **values), model)


def rates_of(stage, part):
    """Return the peak rates of a part's layers, input side first."""
    return [rate for layer, rate in stage.rates.items() if layer.startswith(part)]


def test_without_stages_there_is_one(model):
    """A training without stages is one stage with everything, as the settings say, and without a name."""
    (stage,) = resolve_stages(fit_settings(patience=4), model)
    assert (stage.name, stage.first_epoch, stage.epochs, stage.batch_size, stage.patience) == ("", 0, 10, 8, 4)
    assert stage.trained == {name for name, _ in model.named_parameters()}
    assert stage.frozen == frozenset()
    assert set(rates_of(stage, "encoder")) == {1e-3}
    assert rates_of(stage, "decoder") == rates_of(stage, "head") == [1e-2]
    assert not stage.restore_best


def test_stages_take_what_they_do_not_say_from_fit(model):
    """Epochs, batch size, schedule, patience and rates are those of `fit`, unless a stage has its own."""
    own = {"epochs": 3, "batch_size": 2, "schedule": "poly", "patience": 1, "learning_rate": 0.5, "restore_best": True}
    first, second = resolved(model, Stage("a", **own), Stage("b"), schedule="cosine", patience=None)
    assert (first.epochs, first.batch_size, first.schedule, first.patience) == (3, 2, "poly", 1)
    assert first.restore_best
    assert rates_of(first, "head") == [0.5]
    assert (second.first_epoch, second.epochs, second.batch_size) == (3, 10, 8)
    assert (second.schedule, second.patience, second.step_size) == ("cosine", None, None)
    assert rates_of(second, "head") == [1e-2]


def test_parts_learn_or_are_frozen(model):
    """What a stage does not name is frozen, and no layer of it has a rate."""
    by_part = names_by_part(model)
    heads, top, most = resolved(
        model,
        Stage("heads", train="heads"),
        Stage("top", train=["head", "encoder[-1]"]),
        Stage("most", train="not encoder[0]"),
    )
    assert heads.trained == by_part["decoder"] | by_part["head"]
    assert top.trained == by_part["head"] | by_part["encoder[3]"]
    assert most.frozen == by_part["encoder[0]"]
    for stage in (heads, top, most):
        assert stage.trained | stage.frozen == frozenset().union(*by_part.values())
        assert not stage.trained & stage.frozen
    assert set(heads.rates) == {"decoder", "head"}
    assert set(top.rates) == {"head", "encoder[3] layer 0", "encoder[3] layer 1"}


def test_the_encoder_keeps_its_proportion(model):
    """A stage's rate is that of decoder and head; the encoder has the share it has in `fit`, or its own."""
    first, second, third = resolved(
        model,
        Stage("all", learning_rate=4e-3),
        Stage("own", learning_rate=4e-3, encoder_learning_rate=2e-3),
        Stage("only", train="encoder", learning_rate=4e-3),
    )
    assert set(rates_of(first, "encoder")) == {4e-3 * (1e-3 / 1e-2)}
    assert set(rates_of(second, "encoder")) == {2e-3}
    assert set(rates_of(third, "encoder")) == {4e-3}, "the rate asked for is that of what learns"


def test_layers_decay_with_their_distance(model):
    """Each layer of the encoder learns slower than the one behind it; decoder and head keep their rate."""
    (stage,) = resolved(model, Stage("all", layer_decay=0.5))
    assert rates_of(stage, "head") == rates_of(stage, "decoder") == [1e-2]
    assert rates_of(stage, "encoder") == pytest.approx([1e-3 * 0.5**distance for distance in range(9, 0, -1)])
    (flat,) = resolved(model, Stage("all", layer_decay=1))
    assert set(rates_of(flat, "encoder")) == {1e-3}


@pytest.mark.parametrize(
    ("stages", "values", "error", "message"),
    [
        ([Stage("top", train="fpn")], {}, UnknownNameError, r"^Stage 'top': this model has no part 'fpn'\. It has enc"),
        ([Stage("top", train="encoder[7]")], {}, UnknownNameError, r"^Stage 'top': 'encoder\[7\]' is no stage of this"),
        (
            [Stage("x", train="*.bn7.*")],
            {},
            UnknownNameError,
            r"^Stage 'x': no parameter fits .* Did you mean '\*\.bn\d\.\*'",
        ),
        ([Stage("x", train=["encoder", "encoder[0]"])], {}, ConfigError, r"^Stage 'x': 'encoder' and 'encoder\[0\]' o"),
        (
            [Stage("x", train=["head", "not heads"])],
            {},
            ConfigError,
            r"^Stage 'x': 'head, not heads' has no parameters",
        ),
        ([Stage("x", step_size=11)], {}, ConfigError, r"^Stage 'x': step_size=11 counts epochs, and the stage has 10"),
        (
            [Stage("x", train=["head", "encoder[0]"])],
            {"freeze": "encoder"},
            ConfigError,
            r"^Stage 'x': nothing is left of 'encoder\[0\]' to train, for 'encoder' is frozen\. Type segmenter\.unfre",
        ),
        (None, {"freeze": "all"}, ConfigError, r"^The training: nothing is left of 'all' to train, for 'all' is froz"),
        (None, {"freeze": "rpn"}, UnknownNameError, r"^freeze: this model has no part 'rpn'"),
    ],
)
def test_mistakes_are_found_before_training(model, stages, values, error, message):
    """Parts that do not exist, that overlap, or that cannot learn, and wrong units: refused, naming the stage."""
    with pytest.raises(error, match=message):
        resolve_stages(fit_settings(stages=stages, **values), model)


def test_a_random_part_must_learn_at_some_time(model):
    """A head that starts random and that no stage trains is refused; one stage is enough, and so is to freeze it."""
    heads, top = Stage("one", train="head"), Stage("two", train=["head", "encoder[-1]"])
    random_parts = ("decoder", "head")
    with pytest.raises(
        ConfigError, match=r"^No stage trains decoder, which would stay random; the stages are one, two\."
    ):
        resolve_stages(fit_settings(stages=[heads, top]), model, random_parts=random_parts)
    resolve_stages(fit_settings(stages=[heads, Stage("all")]), model, random_parts=random_parts)
    resolve_stages(fit_settings(stages=[heads, top], freeze="decoder"), model, random_parts=random_parts)
    resolve_stages(fit_settings(stages=[heads, top]), model)


def test_a_part_of_a_random_decoder_is_not_enough(model):
    """What a pattern leaves out would stay random, too."""
    stages = [Stage("x", train=["head", "*.decoder.blocks.0.*"])]
    with pytest.raises(ConfigError, match=r"^No stage trains decoder, which would stay random"):
        resolve_stages(fit_settings(stages=stages), model, random_parts=("decoder", "head"))


def test_fine_tuning_a_model_whose_encoder_is_frozen_is_one_stage(model):
    """Nothing would be left for the stages that free the encoder in turn."""
    (stage,) = resolve_stages(fit_settings(stages="fine_tune", freeze="encoder"), model)
    assert stage.epochs == 10
    assert any(".decoder." in name for name in stage.trained)
    assert not any(".encoder." in name for name in stage.trained)


def test_a_random_encoder_is_named_as_a_whole(model):
    """Where all stages of the encoder are forgotten, the message speaks of the encoder."""
    with pytest.raises(ConfigError, match=r"^No stage trains encoder, which .* type freeze=\['encoder'\]\."):
        resolve_stages(fit_settings(stages=[Stage("x", train="heads")]), model, random_parts=tuple(model.parts()))
    with pytest.raises(ConfigError, match=r"^No stage trains encoder\[0\], encoder\[1\], which"):
        resolve_stages(
            fit_settings(stages=[Stage("x", train="not encoder[:2]")]), model, random_parts=tuple(model.parts())
        )


def test_a_model_without_an_encoder_has_stages_too():
    """Nothing is said of an encoder that is not there."""
    model = TinyModel()
    model.parts = lambda: {"decoder": model.encoder, "head": model.head}
    (stage,) = resolve_stages(fit_settings(stages=[Stage("x")]), model, random_parts=("decoder", "head"))
    assert set(stage.rates.values()) == {1e-2}
    with pytest.raises(ConfigError, match=r"^No stage trains decoder, which"):
        resolve_stages(fit_settings(stages=[Stage("x", train="head")]), model, random_parts=("decoder", "head"))


def test_a_part_with_nothing_to_learn_is_not_missed():
    """A decoder without parameters need not be trained, and cannot be asked to."""
    model = TinyModel()
    model.parts = lambda: {"encoder[0]": model.encoder, "decoder": nn.ReLU(), "head": model.head}
    (stage,) = resolve_stages(fit_settings(stages=[Stage("x", train="head")]), model, random_parts=("decoder", "head"))
    assert stage.trained == {"head.weight", "head.bias"}
    with pytest.raises(ConfigError, match=r"^Stage 'x': 'decoder' has no parameters that can learn"):
        resolve_stages(fit_settings(stages=[Stage("x", train=["head", "decoder"])]), model)


def test_what_is_frozen_outside_stays_frozen_in_stages(model):
    """`freeze` is stronger than the stages; what a model's own `freeze` left behind does not count."""
    by_part = names_by_part(model)
    model.freeze(by_part["head"])
    try:
        first, second = resolved(
            model, Stage("all"), Stage("top", train=["heads", "encoder[2:]"]), freeze=["encoder", "not encoder[-1]"]
        )
    finally:
        model.freeze(())
    assert first.trained == second.trained == by_part["decoder"] | by_part["head"] | by_part["encoder[3]"]


def test_what_never_learned_is_left_out(model):
    """Parameters that are fixed from the start learn in no stage, and a part of nothing else is refused."""
    fixed = model.network.encoder.conv1.weight.requires_grad_(False)
    try:
        (stage,) = resolved(model, Stage("all"))
        assert stage.frozen == {"network.encoder.conv1.weight"}
        with pytest.raises(ConfigError, match=r"^Stage 'x': '\*\.conv1\.weight' has no parameters|^Stage 'stem'"):
            resolved(model, Stage("stem", train="network.encoder.conv1"))
    finally:
        fixed.requires_grad_(True)


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, {"all": 1}),
        (2, {"heads": 1, "all": 1}),
        (3, {"heads": 1, "top": 1, "all": 1}),
        (10, {"heads": 1, "top": 2, "all": 7}),
        (50, {"heads": 5, "top": 10, "all": 35}),
    ],
)
def test_fine_tuning_shares_out_the_epochs(model, epochs, expected):
    """The gentle default has as many epochs in all as asked for, and ends with everything."""
    stages = resolve_stages(fit_settings(stages="fine_tune", epochs=epochs), model, random_parts=("decoder", "head"))
    assert {stage.name: stage.epochs for stage in stages} == expected
    assert not stages[-1].frozen
    if epochs > 2:
        assert stages[0].frozen == {name for name, _ in model.named_parameters() if ".encoder." in name}
        assert [rates_of(stage, "head") for stage in stages] == [[1e-2], [5e-3], [5e-3]]
        rates = rates_of(stages[-1], "encoder")
        assert rates == sorted(rates)
        assert rates[0] == pytest.approx(5e-4 * 0.1, rel=0.02), "the shallowest learns, at a tenth"


def test_fine_tuning_an_encoder_of_one_stage():
    """Where the encoder has no top of its own, there is no stage for it; where there is no encoder, nothing decays."""
    stages = fine_tune_stages(20, layers_of(TinyModel().parts()))
    assert [stage.name for stage in stages] == ["heads", "all"]
    assert stages[-1].layer_decay == 0.1
    (*_, everything) = fine_tune_stages(20, layers_of({"head": nn.Linear(1, 1)}))
    assert everything.layer_decay is None


def test_beginning_a_stage_freezes_and_sets_rates(model):
    """One optimizer serves all stages: what is frozen keeps weights and statistics, and learns again when freed."""
    stages = resolved(model, Stage("heads", train="heads"), Stage("all", layer_decay=0.5))
    settings = {"learning_rate": 1e-2, "encoder_learning_rate": 1e-3, "weight_decay": 0.1, "adam_epsilon": 1e-8}
    optimizer = build_optimizer(model.parts(), optimizer="adamw", **settings)
    encoder = model.network.encoder
    moved = []
    for stage in stages:
        stage.begin(model, optimizer)
        model.train()
        before = {name: value.clone() for name, value in encoder.state_dict().items()}
        set_learning_rate(optimizer, 1.0)
        images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
        F.cross_entropy(model(images), torch.zeros(2, 64, 64, dtype=torch.long)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        moved.append([name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])])
        assert {group["layer"]: group["lr"] for group in optimizer.param_groups if group["lr"]} == stage.rates
    assert moved[0] == []
    assert {"conv1.weight", "bn1.running_mean", "layer4.1.bn2.weight"} <= set(moved[1])
    model.freeze(())


def test_steps_count_epochs_of_the_stage(model):
    """With `step_size`, the rate falls to a tenth every so many epochs, and no sooner."""
    heads, backbone, everything = resolved(
        model,
        Stage("heads only", train="heads", epochs=500, learning_rate=1e-2, step_size=400),
        Stage("first backbone layer", train=["heads", "backbone[1:]"], epochs=100, learning_rate=5e-3, step_size=70),
        Stage("everything", epochs=200, learning_rate=5e-3, step_size=50),
    )
    assert [stage.first_epoch for stage in (heads, backbone, everything)] == [0, 500, 600]
    for stage, step_size in ((heads, 400), (backbone, 70), (everything, 50)):
        factors = [stage.learning_rate_factor(epoch / stage.epochs, epoch) for epoch in range(stage.epochs)]
        assert factors == [0.1 ** (epoch // step_size) for epoch in range(stage.epochs)]


def random_plans(chance, model, compute):
    """Return random stages, worked out, and the loop's plan for each."""
    images, given, batches = chance.randint(1, 20), [], []
    for number in range(chance.randint(1, 3)):
        schedule, epochs, batch_size = chance.choice(SCHEDULES), chance.randint(1, 4), chance.randint(2, 9)
        step_size = chance.choice([None, *range(1, epochs)]) if schedule == "step" else None
        given.append(Stage(str(number), epochs=epochs, schedule=schedule, step_size=step_size, batch_size=batch_size))
        batches.append(-(-images // batch_size))
    stages = resolve_stages(fit_settings(stages=given), model)
    plans = [
        LoopPlan(
            compute=compute,
            epochs=stage.epochs,
            steps_per_epoch=steps,
            evaluate_every=steps,
            learning_rate_factor=stage.learning_rate_factor,
            accumulate=chance.randint(1, 4),
        )
        for stage, steps in zip(stages, batches, strict=True)
    ]
    return stages, plans


def course(plans, position):
    """Yield the factor for each batch from a position on, as the loop goes through them."""
    while position.stage < len(plans):
        clock = Clock(plans[position.stage], position, started_at=0.0)
        while not clock.is_over():
            clock.enter_epoch()
            yield clock.learning_rate_factor()
            clock.batch_done()
        position.end_stage("done", ends_run=False)


def test_schedules_are_functions_of_the_position():
    """In 5,000 random trainings, the learning rate from a random batch on is the one of a run without a break."""
    chance, model, compute = random.Random(0), TinyModel(), resolve_compute("cpu", "fp32")
    for _ in range(5000):
        stages, plans = random_plans(chance, model, compute)
        whole = list(course(plans, Position()))
        assert whole == [factor for stage, plan in zip(stages, plans, strict=True) for factor in by_hand(stage, plan)]
        interrupted = Position()
        broken_off = chance.randrange(len(whole))
        factors = course(plans, interrupted)
        assert [next(factors) for _ in range(broken_off + 1)] == whole[: broken_off + 1]
        resumed = Position()
        resumed.restore(json.loads(json.dumps(interrupted.state(seconds=0.0))))
        assert list(course(plans, resumed)) == whole[broken_off:]


def by_hand(stage, plan):
    """Yield a stage's factors by their definition, counted from its first batch."""
    total = plan.epochs * plan.steps_per_epoch
    for step in range(total):
        if stage.step_size is not None:
            yield 0.1 ** (step // plan.steps_per_epoch // stage.step_size)
        else:
            yield learning_rate_factor(stage.schedule, step / total)


class TinyModel(nn.Module):
    """The least that has parts."""

    frozen = frozenset()

    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Linear(1, 1), nn.Linear(1, 1)

    def parts(self):
        return {"encoder[0]": self.encoder, "head": self.head}


def test_the_table_shows_parts_rates_and_norms(model):
    """Each stage begins with a table: parts, parameters, what learns, how fast, and what normalisation does."""
    stages = resolved(
        model, Stage("heads", train="heads", epochs=2), Stage("all", epochs=8, layer_decay=0.5, step_size=4)
    )
    first = stage_table(stages[0], model, number=1, count=2).splitlines()
    assert first[0] == "Stage 1 of 2, heads: epochs 1 to 2, batches of 8, onecycle schedule"
    assert first[1].split() == ["part", "parameters", "learning", "learning", "rate", "normalisation"]
    assert first[2].split() == ["encoder[0]", "157,504", "0", "-", "frozen"]
    assert first[6].split() == ["decoder", "3,151,552", "3,151,552", "0.01", "training"]
    assert first[7].split() == ["head", "290", "290", "0.01", "-"]
    assert first[8].split() == ["total", "14,328,354", "3,151,842"]
    second = stage_table(stages[1], model, number=2, count=2).splitlines()
    assert second[0] == "Stage 2 of 2, all: epochs 3 to 10, batches of 8, a tenth of the rate every 4 epochs"
    assert second[5].split() == ["encoder[3]", "8,393,728", "8,393,728", "0.00025", "to", "0.0005", "training"]
    assert len({line.index("parameters") + len("parameters") for line in first[1:2]}) == 1


def test_the_table_tells_norms_that_are_frozen_in_part(model):
    """Where only some norms of a part learn, the table says so; an interval of one epoch is every epoch."""
    (stage,) = resolved(model, Stage("norms", train=["head", "*.bn1.*"], epochs=2, step_size=1))
    table = stage_table(stage, model, number=1, count=1).splitlines()
    assert table[0] == "Stage 1 of 1, norms: epochs 1 to 2, batches of 8, a tenth of the rate every epoch"
    assert table[2].endswith("partly frozen")
    assert table[6].split() == ["decoder", "3,151,552", "0", "-", "frozen"]
