"""Settings: what they accept, what their errors say, and how they are read and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from easyseg.config import (
    DataSettings,
    EvaluateSettings,
    FitSettings,
    ModelSettings,
    PredictSettings,
    Settings,
    evaluation_interval,
    read_yaml,
    write_yaml,
    yaml_files,
)
from easyseg.errors import ConfigError, UnknownNameError

GROUPS = (ModelSettings, DataSettings, FitSettings, EvaluateSettings, PredictSettings)
SETTINGS = [(group, name) for group in GROUPS for name in group.model_fields]


@pytest.mark.parametrize("group", GROUPS)
def test_defaults_pass_their_own_checks(group):
    """Defaults given explicitly are accepted and stay the same, so what a run folder holds can be read back."""
    defaults = group()
    assert group.of({name: getattr(defaults, name) for name in group.model_fields}) == defaults


@pytest.mark.parametrize(("group", "name"), SETTINGS)
def test_every_setting_explains_itself(group, name):
    """Every setting has a help text that is a sentence, and says what values it takes."""
    assert group.help(name).endswith(".")
    assert group.expects(name)


@pytest.mark.parametrize(
    ("group", "name", "words"),
    [
        (FitSettings, "epochs", "a whole number of at least 1"),
        (FitSettings, "batch_size", "a whole number of at least 1 or 'auto'"),
        (FitSettings, "clip_gradients", "a number above 0 or None"),
        (FitSettings, "ema", "True or False or a number above 0 and below 1"),
        (FitSettings, "loss", "a text or a function"),
        (FitSettings, "optimizer", "'adamw', 'adam' or 'sgd'"),
        (FitSettings, "class_weights", "a list (each a number above 0), 'balanced' or None"),
        (FitSettings, "callbacks", "a list (each any value)"),
        (ModelSettings, "image_size", "2 values (each a whole number of at least 1) or None"),
        (ModelSettings, "in_channels", "a whole number from 1 to 64"),
        (DataSettings, "images", "a text, a path or None"),
    ],
)
def test_expected_values_are_put_in_words(group, name, words):
    """What a setting takes is said in words, limits included."""
    assert group.expects(name) == words


@pytest.mark.parametrize(
    ("group", "values", "message"),
    [
        (FitSettings, {"epochs": 0}, "epochs=0: expected a whole number of at least 1. epochs: Passes over"),
        (FitSettings, {"epochs": True}, "epochs=True: expected a whole number"),
        (FitSettings, {"epochs": 1.5}, "epochs=1.5: expected a whole number"),
        (FitSettings, {"learning_rate": float("nan")}, "learning_rate=nan: expected a number above 0 or 'auto'"),
        (FitSettings, {"optimizer": "adma"}, "expected 'adamw', 'adam' or 'sgd'. Did you mean 'adam'?"),
        (FitSettings, {"class_weights": [1, -1]}, "class_weights=[1, -1]: expected a list"),
        (FitSettings, {"evaluate_every": "2 weeks"}, "evaluate_every='2 weeks': expected a number of epochs such as 2"),
        (ModelSettings, {"image_size": (0, 9)}, "image_size=(0, 9): expected 2 values"),
        (ModelSettings, {"image_size": True}, "image_size=True: expected 2 values"),
        (DataSettings, {"value_range": (5, 5)}, "value_range=(5, 5): expected a low and a higher number such as"),
        (DataSettings, {"value_range": (0, float("inf"))}, "value_range=(0, inf): expected a low and a higher number"),
        (DataSettings, {"value_range": ((0, 1), (1, 0))}, "expected a low and a higher number"),
        (DataSettings, {"value_range": ()}, "value_range=(): expected a low and a higher number"),
        (DataSettings, {"value_range": (0, 1, 2)}, "value_range=(0, 1, 2): expected 2 values"),
        (EvaluateSettings, {"threshold": 2}, "threshold=2: expected a number from 0 to 1"),
    ],
)
def test_wrong_values_are_explained(group, values, message):
    """A wrong value is refused with what was given, what is expected, and what the setting does."""
    with pytest.raises(ConfigError) as caught:
        group.of(values)
    assert message in str(caught.value)


def test_a_range_is_a_pair_or_one_for_each_channel():
    """Numbers, texts as flags give them, and lists of pairs as YAML has them, are read."""
    for given, expected in (
        ("auto", "auto"),
        ([0, 4095], (0.0, 4095.0)),
        (["0", "4095"], (0.0, 4095.0)),
        ([[0, 1], [0, 2]], ((0.0, 1.0), (0.0, 2.0))),
    ):
        assert DataSettings.of({"value_range": given}).value_range == expected


def test_every_wrong_value_has_a_line():
    """All mistakes are reported at once, one line each."""
    with pytest.raises(ConfigError) as caught:
        FitSettings.of({"epochs": 0, "batch_size": 0})
    first, second = str(caught.value).splitlines()
    assert first.startswith("epochs=0")
    assert second.startswith("batch_size=0")


def test_unknown_settings_are_refused_with_the_nearest():
    """A name that is no setting is an error that offers the nearest one, never ignored."""
    with pytest.raises(UnknownNameError, match=r"No setting named 'epoch'\. Did you mean 'epochs'"):
        FitSettings.of({"epoch": 3})


def test_collect_takes_this_groups_arguments_only():
    """Out of a function's variables, those that are settings of the group are taken."""
    assert EvaluateSettings.collect({"self": None, "data": "x", "split": "test"}) == EvaluateSettings(split="test")


def test_settings_cannot_be_changed():
    """Settings are values: an assignment is an error."""
    with pytest.raises(ValueError, match="frozen"):
        FitSettings().epochs = 3


@pytest.mark.parametrize(("given", "size"), [(256, (256, 256)), ("256", (256, 256)), ([3, 4], (3, 4))])
def test_one_number_is_a_square(given, size):
    """An image size may be one number, also as text, two numbers, or None."""
    assert ModelSettings.of({"image_size": given}).image_size == size


def test_a_single_callback_needs_no_list():
    """One callback is taken for a list of one; lists become tuples."""
    assert FitSettings.of({"callbacks": "one"}).callbacks == ("one",)
    assert FitSettings.of({"callbacks": ["one", "two"]}).callbacks == ("one", "two")


@pytest.mark.parametrize(
    ("given", "interval"),
    [(2, (2, "epochs")), ("2", (2, "epochs")), ("3 epoch", (3, "epochs")), ("500 steps", (500, "steps"))],
)
def test_evaluation_intervals(given, interval):
    """An interval is a number of epochs, or of steps where it says so."""
    assert evaluation_interval(given) == interval


@pytest.mark.parametrize("given", [0, "", "x", "5 weeks", "1 2 3", "-1"])
def test_senseless_evaluation_intervals(given):
    """Anything else is refused with examples."""
    with pytest.raises(ValueError, match="such as 2"):
        evaluation_interval(given)


def test_to_dict_holds_plain_values():
    """Paths become text, tuples lists, objects their repr, so that YAML can hold them."""
    values = FitSettings.of({"run_dir": Path("runs"), "class_weights": [1, 2], "callbacks": [1j]}).to_dict()
    assert values["run_dir"] == "runs"
    assert values["class_weights"] == [1.0, 2.0]
    assert values["callbacks"] == ["1j"]
    assert set(values) == set(FitSettings.model_fields)


def test_changed_holds_what_differs_from_the_defaults():
    """Only settings with another value than their default are named."""
    assert FitSettings.of({"epochs": 3, "patience": 10, "run_dir": Path("here")}).changed() == {
        "epochs": 3,
        "run_dir": "here",
    }


@pytest.mark.parametrize("group", [ModelSettings, DataSettings, EvaluateSettings, PredictSettings, FitSettings])
def test_settings_survive_yaml(group, tmp_path):
    """Settings written as YAML and read back are the same."""
    file = tmp_path / "config.yaml"
    file.write_text(write_yaml(group().to_dict()), encoding="utf-8")
    assert group.of(read_yaml(file)) == group()


def test_yaml_keeps_the_order_and_other_alphabets():
    """Settings are written in the given order, and names in any alphabet as they are."""
    text = write_yaml({"b": 1, "a": ["дорога"]})
    assert text == "b: 1\na: [дорога]\n"


def _refused(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_yaml(file)
    assert str(file) in str(caught.value)
    return str(caught.value)


def test_missing_config_is_named(tmp_path):
    """A missing file is an error that names it."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read.*Check the path"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_binary_file_is_no_config(tmp_path):
    """A file that is no text is refused."""
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as a YAML config"):
        read_yaml(file)


def test_huge_config_is_not_read(tmp_path, monkeypatch):
    """A file beyond the limit is refused before it is read."""
    monkeypatch.setattr(yaml_files, "MAX_CONFIG_BYTES", 10)
    assert "has 11 bytes; a config file has at most 10" in _refused(tmp_path, "epochs: 123")


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "just words", "", "3: 4\n"])
def test_config_must_be_settings_with_values(tmp_path, text):
    """A list, a word, nothing, or a number as a key is no config."""
    assert "should hold 'setting: value' lines" in _refused(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [1", "not valid YAML"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: 1\na: 2\n", "the key 'a' stands there twice"),
        ("a: " + 5000 * "[", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
    ],
)
def test_dangerous_or_broken_yaml_is_refused(tmp_path, text, reason):
    """Broken, repeated, self-referring, bottomless and code-carrying YAML is refused with the reason."""
    assert reason in _refused(tmp_path, text)


def test_keys_that_are_no_words_are_no_crash(tmp_path):
    """A mapping with a list as its key is an error like any other."""
    assert "config.yaml" in _refused(tmp_path, "? [1, 2]\n: 3\n")


def test_strict_loader_is_a_safe_loader():
    """The loader can only make plain values."""
    assert issubclass(yaml_files._StrictLoader, yaml.SafeLoader)


def test_groups_share_no_setting_by_accident():
    """A setting that stands in two groups means the same in both, so one flag can serve both."""
    for group, name in SETTINGS:
        for other in GROUPS:
            if name in other.model_fields and name != "batch_size":
                assert other.help(name) == group.help(name)


def test_settings_base_has_no_settings():
    """The base declares nothing of its own."""
    assert not Settings.model_fields


def test_mappings_and_numpy_values_survive_yaml(tmp_path):
    """A class map, a set and numpy's numbers come back as what they were, not as their repr."""
    given = {"class_map": {"road": np.int64(1), 7: "car", "sky": (1, 2, 3)}, "ignore": {255}}
    file = tmp_path / "config.yaml"
    file.write_text(write_yaml(DataSettings.of(given).changed()), encoding="utf-8")
    assert read_yaml(file) == {"class_map": {"road": 1, 7: "car", "sky": [1, 2, 3]}, "ignore": [255]}
    assert DataSettings.of({"ignore": np.array([3, 4])}).changed() == {"ignore": [3, 4]}
    assert DataSettings.of({"class_map": {(1, 2, 3): "road"}}).to_dict()["class_map"] == {"(1, 2, 3)": "road"}


def smooth_loss(logits, targets):
    """Stand for a loss of one's own."""


def test_python_objects_become_comments(tmp_path):
    """What YAML has no words for is named on one line each, and the rest can be read back."""
    given = {"loss": smooth_loss, "augment": {"a": Path}, "callbacks": [{}, Path], "class_weights": [1, 2]}
    settings = FitSettings.of(given)
    assert settings.objects().keys() == {"loss", "augment", "callbacks"}
    text = write_yaml({**settings.to_dict(), **settings.objects()})
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert comments[:3] == ["# loss: smooth_loss", "# augment: dict", "# callbacks: dict, Path"]
    assert "segmenter.fit(" in comments[3]
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    assert FitSettings.of(read_yaml(file)) == FitSettings(class_weights=[1, 2])


def test_weights_may_be_a_path():
    """A Path is taken as its text; other objects are not."""
    assert ModelSettings.of({"weights": Path("encoder.safetensors")}).weights == "encoder.safetensors"
    with pytest.raises(ConfigError, match="weights=3: expected a text or None"):
        ModelSettings.of({"weights": 3})


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
def test_no_size_is_no_size_to_come_to(resize):
    """image_size=None contradicts every resize but None, and the error says which to type."""
    with pytest.raises(ConfigError, match=rf"^image_size=None leaves resize='{resize}'.*type resize=None"):
        ModelSettings.of({"image_size": None, "resize": resize})
    assert ModelSettings.of({"image_size": None, "resize": None}).image_size is None
