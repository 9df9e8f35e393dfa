"""The exception tree, nearest names and optional packages."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from easyseg import errors
from easyseg.errors import (
    EasySegError,
    MissingExtraError,
    SampleError,
    UnknownNameError,
    closest,
    known_arguments,
    require_extra,
    unknown_name,
)

ERRORS = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, Exception)]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_an_easyseg_error(error):
    """One except clause catches everything that is raised on purpose."""
    assert issubclass(error, EasySegError)


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_stands_in_the_tree(error):
    """The tree at the top of the module names every error."""
    assert error.__name__ in errors.__doc__


def test_sample_error_names_the_file():
    """The message begins with the file; path and problem can be asked for on their own."""
    error = SampleError(Path("images/a.png"), "the file is empty")
    assert str(error) == f"{Path('images/a.png')}: the file is empty"
    assert error.path == Path("images/a.png")
    assert error.problem == "the file is empty"


@pytest.mark.parametrize(("name", "expected"), [("resnt50", "resnet50"), ("ResNet50", "resnet50"), ("xyz", None)])
def test_closest_ignores_case_and_gives_up_on_strangers(name, expected):
    """The most similar option is found whatever its case; nothing is offered where nothing is similar."""
    assert closest(name, ["resnet18", "resnet50", "mit_b0"]) == expected


def test_closest_returns_the_option_as_written():
    """An option is returned with its own capitals."""
    assert closest("unet", ["FPN", "Unet"]) == "Unet"


@pytest.mark.parametrize(
    ("word", "option"),
    [("lr", "learning_rate"), ("--imgsz", "--image-size"), ("bs", "batch_size"), ("conf", "score_threshold")],
)
def test_closest_knows_what_other_libraries_say(word, option):
    """Words of other libraries lead to ours, as names and as flags; where ours is no option, likeness decides."""
    options = ["loss", "learning_rate", "--images", "--image-size", "batch_size", "score_threshold"]
    assert closest(word, options) == option
    assert closest("lr", ["loss"]) is None


def test_unknown_name_lists_a_few_options():
    """The message names what was given, the nearest option, and all of them."""
    error = unknown_name("loss", "dise", iter(["focal", "dice"]))
    assert isinstance(error, UnknownNameError)
    assert str(error) == "No loss named 'dise'. Did you mean 'dice'? Choose one of: dice, focal."


def test_unknown_name_points_to_long_lists():
    """Where there are too many options, the message says where to see them."""
    error = unknown_name("encoder", 7, ["resnet18"], see="easyseg.list_encoders()")
    assert str(error) == "No encoder named 7. See easyseg.list_encoders()."


def test_require_extra_imports_what_is_there():
    """A package that is installed is returned."""
    assert require_extra("json", extra="export").dumps([1]) == "[1]"


def test_require_extra_says_what_to_type():
    """A package that is missing is named together with the command that installs it."""
    with pytest.raises(MissingExtraError, match=r"'no_such_package'.*pip install 'easyseg\[export\]'") as caught:
        require_extra("no_such_package", extra="export")
    assert isinstance(caught.value.__cause__, ImportError)


def test_known_arguments_offers_the_nearest_name():
    """A misspelt argument is told by name; the signature, the docstring and what is right stay as they are."""

    class Oven:
        def bake(self, bread, *, minutes=30):
            """Bake."""
            return bread, minutes

        checked = known_arguments({"heat": "oven.preheat(heat=...)"})(bake)

    assert Oven().checked("rye", minutes=5) == ("rye", 5)
    assert inspect.signature(Oven.checked) == inspect.signature(Oven.bake)
    assert Oven.checked.__doc__ == "Bake."
    with pytest.raises(UnknownNameError, match=r"Oven\.bake named 'minuts'. Did you mean 'minutes'\? See help\("):
        Oven().checked("rye", minuts=5)
    with pytest.raises(UnknownNameError, match=r"'heat'\. Type oven\.preheat\(heat=\.\.\.\)\.$"):
        Oven().checked("rye", heat=200)
    with pytest.raises(UnknownNameError, match=r"'sel'\. See help"):
        Oven().checked("rye", sel=200)
    with pytest.raises(TypeError, match="bread"):
        Oven().checked(minutes=5)
