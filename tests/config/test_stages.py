"""Stages as people write them, in Python and in YAML, and what is refused."""

from __future__ import annotations

import pytest

from easyseg import Stage
from easyseg.config import DataSettings, FitSettings, ModelSettings, read_yaml, write_yaml
from easyseg.config.stages import gather_numbered_stages, read_stages
from easyseg.errors import ConfigError, UnknownNameError

ROOFTOPS = """
stages:
  - {title: heads only, train: heads, epochs: 500, lr: 1e-2, step_size: 400}
  - title: first backbone layer
    train: [heads, "backbone[1:]"]
    epochs: 100
    lr: 5e-3
    step_size: 70
  - {title: everything, epochs: 200, lr: 0.005, step_size: 150}
"""


def from_yaml(tmp_path, text):
    """Read a YAML text as settings of `fit`."""
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return FitSettings.of(read_yaml(file))


def test_a_stage_takes_its_name_first():
    """The name is the one positional argument; the rest has the defaults of `fit`, and trains everything."""
    stage = Stage("heads")
    assert stage.name == "heads"
    assert stage.train == ("all",)
    assert {getattr(stage, name) for name in Stage.model_fields if name not in ("name", "train")} == {None, False}


def test_stages_as_people_write_them(tmp_path):
    """`title` is the name, `lr` the learning rate, 1e-2 a number, and `step_size` makes the schedule step."""
    heads, top, everything = from_yaml(tmp_path, ROOFTOPS).stages
    assert heads == Stage("heads only", train="heads", epochs=500, learning_rate=0.01, step_size=400, schedule="step")
    assert top == Stage(
        "first backbone layer", train=["heads", "backbone[1:]"], epochs=100, learning_rate=0.005, step_size=70
    )
    assert everything == Stage("everything", train="all", epochs=200, learning_rate=0.005, step_size=150)
    assert isinstance(heads.learning_rate, float)


def test_numbered_stages_become_a_list():
    """Files with `stage1:`, `stage2:` and so on are read in the order of the numbers, other keys stay."""
    values = gather_numbered_stages(
        {
            "data": "roofs",
            "stage10": {"train": "all", "epochs": 3},
            "stage2": {"title": "heads", "parts": "heads", "lr": "1e-3"},
        }
    )
    assert values == {
        "data": "roofs",
        "stages": [
            {"title": "heads", "parts": "heads", "lr": "1e-3"},
            {"title": "stage10", "train": "all", "epochs": 3},
        ],
    }
    first, second = read_stages(values["stages"])
    assert first == Stage("heads", train="heads", learning_rate=1e-3)
    assert second == Stage("stage10", epochs=3)


def test_numbered_stages_must_say_what_they_train():
    """In the programs that such files come from it was fixed; here it is asked for, not guessed."""
    with pytest.raises(ConfigError, match=r"stage1 does not say which parts it trains\. Add a line .*'train: heads'"):
        gather_numbered_stages({"stage1": {"title": "heads", "epochs": 500, "lr": 0.01}})
    with pytest.raises(ConfigError, match="stage1 does not say"):
        gather_numbered_stages({"stage1": 5})
    with pytest.raises(ConfigError, match=r"'stages' and 'stage1'\. Put all"):
        gather_numbered_stages({"stages": [], "stage1": {"train": "all"}})


def test_other_keys_are_left_alone():
    """Without numbered stages nothing changes."""
    assert gather_numbered_stages({"epochs": 3, "stages": "fine_tune"}) == {"epochs": 3, "stages": "fine_tune"}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([Stage("a"), {"name": "b"}], ["a", "b"]),
        ((Stage(), {"epochs": 3}), ["stage 1", "stage 2"]),
        (Stage("alone"), ["alone"]),
        ({"title": 7, "epochs": 3}, ["7"]),
        ({"first": {"epochs": 1}, "second": {"name": "then", "epochs": 2}}, ["first", "then"]),
    ],
)
def test_forms_of_stages(given, names):
    """Stages and dicts in a list or tuple, a single one, and a dict of dicts; without a name they are numbered."""
    assert [stage.name for stage in FitSettings.of({"stages": given}).stages] == names


def test_no_stages_and_the_default_ones():
    """None and "fine_tune" stay as they are, until there is a model."""
    assert FitSettings.of({}).stages is None
    assert FitSettings.of({"stages": "fine_tune"}).stages == "fine_tune"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs=0: expected a whole number of at least 1"),
        ({"epochs": True}, "epochs=True: expected a whole number"),
        ({"learning_rate": -1e-3}, "learning_rate=-0.001: expected a number above 0"),
        ({"learning_rate": "fast"}, "learning_rate='fast': expected a number above 0"),
        ({"layer_decay": 1.5}, "layer_decay=1.5: expected a number above 0 and of at most 1"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'?"),
        ({"step_size": 0.5}, "Whole epochs after which the learning rate falls to a tenth"),
        ({"step_size": 6, "epochs": 5}, "step_size=6 counts epochs, and the stage has 5"),
        ({"step_size": 5, "epochs": 5}, "its learning rate would never fall. Type a step_size below 5"),
        ({"step_size": 1, "epochs": 1}, "Type no step_size, or schedule='constant'"),
        ({"step_size": 2, "schedule": "cosine"}, "step_size=2 goes with schedule='step', not with 'cosine'"),
        ({"train": "heed"}, "Did you mean 'head'?"),
        ({"train": []}, "[] names no parts of a model"),
        ({"restore_best": 7}, "restore_best=7: expected True or False"),
    ],
)
def test_wrong_values_name_the_stage(values, message):
    """A wrong value is refused at once, in Python and in YAML, and the message says in which stage."""
    for make in (lambda: Stage("top", **values), lambda: FitSettings.of({"stages": [{"title": "top", **values}]})):
        with pytest.raises(ConfigError, match=r"^Stage 'top': ") as caught:
            make()
        assert message in str(caught.value)


def test_a_stage_without_a_name_can_be_wrong_too():
    """Where there is no name, the number says which stage is meant."""
    for make in (lambda: Stage(epochs=0), lambda: Stage.of({"epochs": 0})):
        with pytest.raises(ConfigError, match=r"^A stage: epochs=0"):
            make()
    with pytest.raises(ConfigError, match=r"^Stage 'stage 2': epochs=0"):
        read_stages([{"epochs": 1}, {"epochs": 0}])
    with pytest.raises(ConfigError, match=r"^Stage '5': name=5: expected a text"):
        Stage(5)


def test_unknown_keys_are_refused_with_the_nearest():
    """A key that no stage has is an error with stage and nearest key, and one thing is not said twice."""
    with pytest.raises(
        UnknownNameError, match=r"^Stage 'x': No setting of a stage named 'epoch'\. Did you mean 'epochs'"
    ):
        read_stages([{"title": "x", "epoch": 3}])
    with pytest.raises(ConfigError, match=r"^Stage 'x': 'learning_rate' is given twice\. Take one"):
        read_stages([{"title": "x", "lr": 1, "learning_rate": 1}])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "holds no stage. Type such as stages=[Stage("),
        ((), "holds no stage"),
        ("finetune", "Did you mean 'fine_tune'?"),
        ("xyz", "expected 'fine_tune' or a list of stages. Type"),
        ([Stage("a"), "all"], "Stage 2 is 'all', which is no stage"),
        (5, "Stage 1 is 5, which is no stage"),
        ([Stage("a"), Stage("a")], "Two stages are called 'a'"),
    ],
)
def test_what_are_no_stages(given, message):
    """No stage at all, another word, another thing, or two of one name: refused with what to type."""
    with pytest.raises(ConfigError) as caught:
        FitSettings.of({"stages": given})
    assert message in str(caught.value)


def test_stages_count_epochs_not_seconds():
    """A time budget has no place beside stages."""
    with pytest.raises(ConfigError, match="stages and time_budget contradict each other"):
        FitSettings.of({"stages": "fine_tune", "time_budget": 60})


def test_frozen_parts_are_checked():
    """What should not learn is given in the same words, and none is None."""
    assert FitSettings.of({"freeze": "encoder, not encoder[-1]"}).freeze == ("encoder", "not encoder[-1]")
    assert FitSettings.of({"freeze": ()}).freeze is None
    with pytest.raises(UnknownNameError, match="Did you mean 'encoder'"):
        FitSettings.of({"freeze": "encodr"})


def test_stages_survive_yaml(tmp_path):
    """What a run folder holds can be read back: the same stages, and only what was said of them."""
    stages = [Stage("heads", train=["head", "decoder"], epochs=2, restore_best=True), Stage("all", layer_decay=0.8)]
    settings = FitSettings.of({"stages": stages, "freeze": "encoder[0]"})
    text = write_yaml(settings.changed())
    assert "None" not in text
    assert "null" not in text
    assert from_yaml(tmp_path, text) == settings


def test_bare_brackets_in_a_list_get_a_hint(tmp_path):
    """YAML takes the brackets of a part for a list; the error says to put it into quotes."""
    with pytest.raises(ConfigError, match=r'need quotes: \[heads, "encoder\[-1\]"\]'):
        from_yaml(tmp_path, "stages:\n  - train: [heads, encoder[-1]]\n")
    with pytest.raises(ConfigError, match="not valid YAML") as caught:
        from_yaml(tmp_path, "epochs: [1\n")
    assert "quotes" not in str(caught.value)


def test_stages_are_said_in_words():
    """Help and errors speak of stages, not of functions."""
    assert FitSettings.expects("stages") == "a list (each a Stage), 'fine_tune' or None"
    assert not {"stages", "freeze"} & (ModelSettings.model_fields.keys() | DataSettings.model_fields.keys())


@pytest.mark.parametrize(
    ("name", "value", "others"), [("epochs", 9, {"learning_rate": 0.1}), ("learning_rate", 0.1, {"epochs": 9})]
)
def test_what_every_stage_says_itself_is_refused_beside_them(name, value, others):
    """It would have no effect; where one stage leaves it open, it has."""
    closed, open_one = Stage("a", **{name: value}), Stage("b", **others)
    with pytest.raises(ConfigError, match=rf"{name}={2 * value} has no effect, for every stage says its own"):
        FitSettings.of({"stages": [closed], name: 2 * value})
    settings = FitSettings.of({"stages": [closed, open_one], name: 2 * value})
    assert settings.left_to_stages() == ()
    assert FitSettings.of({"stages": [closed]}).left_to_stages() == (name,)
    assert FitSettings.of({name: value}).left_to_stages() == ()


def test_short_words_of_yaml_are_no_arguments_of_python():
    """`lr` and `title` stand in files; in Python the message says what to type."""
    with pytest.raises(UnknownNameError, match=r"No argument of Stage named 'lr'\. Type learning_rate=\.\.\."):
        Stage("a", lr=0.1)
