"""The package as a whole: its public names, its settings in every place, its size, and what its code never does."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import easyseg
from easyseg import errors
from easyseg.cli import check_command, evaluate_command, find_learning_rate_command, predict_command, train_command
from easyseg.cli.options import PYTHON_ONLY, gather
from easyseg.config import (
    CheckSettings,
    DataSettings,
    EvaluateSettings,
    FitSettings,
    ModelSettings,
    PredictSettings,
    RateFinderSettings,
    Settings,
    Stage,
    write_yaml,
)

SOURCE = Path(easyseg.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_PARAMETERS = 8
FACADE = {
    "Stage.__init__",
    "Segmenter.__init__",
    "Segmenter.fit",
    "Segmenter.find_learning_rate",
    "Segmenter.evaluate",
    "Segmenter.predict",
    "Dataset.check",
    "load_dataset",
}
"""What people call, with one keyword for each setting."""

PLACES: list[tuple[type[Settings], Callable[..., Any], set[str]]] = [
    (ModelSettings, easyseg.Segmenter, set()),
    (FitSettings, easyseg.Segmenter.fit, {"self", "data", "validation"}),
    (RateFinderSettings, easyseg.Segmenter.find_learning_rate, {"self", "data"}),
    (EvaluateSettings, easyseg.Segmenter.evaluate, {"self", "data"}),
    (PredictSettings, easyseg.Segmenter.predict, {"self", "source"}),
    (Stage, easyseg.Stage.__init__, {"self"}),
    (CheckSettings, easyseg.Dataset.check, {"self", "html"}),
    (DataSettings, easyseg.load_dataset, {"path", "classes", "split", "seed"}),
]


def test_public_names_exist_and_are_all_listed() -> None:
    """`__all__` holds the names that are loaded lazily and the version, in order, and each can be had."""
    assert easyseg.__all__ == sorted(easyseg.__all__, key=lambda name: (not name[0].isupper(), name))
    assert set(easyseg.__all__) == {*easyseg._HOME, "__version__"}
    assert dir(easyseg) == easyseg.__all__
    for name in easyseg.__all__:
        assert getattr(easyseg, name) is not None


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    """A name the package does not have is refused as Python does it."""
    with pytest.raises(AttributeError, match="Segmentor"):
        _ = easyseg.Segmentor


def test_import_is_lazy_and_fast() -> None:
    """`import easyseg` loads neither torch nor OpenCV, and takes less than 0.3 s with Python's own start."""
    program = "import sys, easyseg; sys.exit(' '.join({'torch', 'cv2', 'numpy'} & sys.modules.keys()) or None)"
    seconds = []
    for _ in range(3):  # the first start may wait for the disk
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - started)
        assert done.returncode == 0, done.stderr
    assert min(seconds) < 0.3


@pytest.mark.parametrize(("group", "verb", "others"), PLACES, ids=lambda item: getattr(item, "__name__", ""))
def test_settings_are_the_arguments_of_python(
    group: type[Settings], verb: Callable[..., Any], others: set[str]
) -> None:
    """A verb takes the settings of its group, in their order and with their defaults, and nothing else."""
    parameters = {
        name: parameter for name, parameter in inspect.signature(verb).parameters.items() if name not in others
    }
    assert list(parameters) == list(group.model_fields)
    declared = group.of({})
    given = group.of({name: parameter.default for name, parameter in parameters.items()})
    assert given == declared


@pytest.mark.parametrize(
    ("groups", "parser"),
    [
        ((ModelSettings, DataSettings, FitSettings), train_command.parser),
        ((ModelSettings, DataSettings, RateFinderSettings), find_learning_rate_command.parser),
        ((DataSettings, EvaluateSettings), evaluate_command.parser),
        ((PredictSettings,), predict_command.parser),
        ((CheckSettings, DataSettings), check_command.parser),
    ],
    ids=["train", "find-learning-rate", "evaluate", "predict", "check"],
)
def test_settings_are_the_flags_of_the_command_line(groups: tuple[type[Settings], ...], parser: Any) -> None:
    """A command has a flag for each setting, and no setting of its own."""
    flags = {action.dest for action in parser()._actions if action.option_strings}
    declared = {name for group in groups for name in group.model_fields} - PYTHON_ONLY
    assert declared <= flags
    assert flags - declared <= {
        "help",
        "data",
        "validation",
        "json",
        "table",
        "plot",
        "source",
        "to",
        "kind",
        "legend",
        "overwrite",
        "dry_run",
        "devices",
        "device",
        "precision",
        "html",
        "classes",
        "seed",
    }


def test_settings_are_the_keys_of_yaml(tmp_path: Path) -> None:
    """A YAML file with every setting at its default gives exactly the defaults."""
    groups = (ModelSettings, DataSettings, FitSettings)
    defaults = {name: value for group in groups for name, value in group.of({}).to_dict().items()}
    assert len(defaults) == sum(len(group.model_fields) for group in groups), "two groups share a name"
    path = tmp_path / "config.yaml"
    path.write_text(write_yaml({"data": "scans", **defaults}))
    values = gather({}, path, groups)
    for group in groups:
        assert group.of({name: values[name] for name in group.model_fields}) == group.of({})


@pytest.mark.parametrize("group", [group for group, _, _ in PLACES])
def test_every_setting_has_a_help_text(group: type[Settings]) -> None:
    """Each setting says in a sentence what it is."""
    for name in group.model_fields:
        assert re.fullmatch(r".{8,}[.]", group.help(name)), name


def test_every_error_stands_in_the_tree() -> None:
    """The tree at the head of `easyseg.errors` names every error class, and no other."""
    documented = set(re.findall(r"\b(\w+Error)\b", errors.__doc__ or ""))
    defined = {name for name, item in vars(errors).items() if inspect.isclass(item) and issubclass(item, Exception)}
    assert documented == defined
    assert all(issubclass(getattr(errors, name), errors.EasySegError) for name in defined)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    """A file has at most 400 lines, a function 40 in its body and 8 parameters; the facade's verbs may take more."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for name, function in functions(ast.parse(text)):
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        assert lines <= MAX_FUNCTION_LINES, f"{name} has {lines} lines"
        arguments = function.args
        count = len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs])
        count -= bool(arguments.args) and arguments.args[0].arg in ("self", "cls")
        assert count <= MAX_PARAMETERS or name in FACADE, f"{name} has {count} parameters"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_code_never_does_what_is_unsafe(path: Path) -> None:
    """No file pickles, evaluates text, loads YAML or tensors the unsafe way, asserts, or excepts everything."""
    assert list(unsafe(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import torch; torch.load('x')",
        "from torch import load",
        "torch.save(x, 'y')",
        "eval('1')",
        "exec('1')",
        "yaml.load('x')",
        "yaml.unsafe_load('x')",
        "numpy.load('x', allow_pickle=True)",
        "assert True",
        "try: ...\nexcept: ...",
    ],
)
def test_the_test_above_can_fail(code: str) -> None:
    """Each of the forbidden things is found."""
    assert list(unsafe(ast.parse(code)))


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield each function and method with its dotted name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield f"{prefix}{node.name}", node
        inner = f"{prefix}{node.name}." if isinstance(node, (ast.ClassDef, ast.FunctionDef)) else prefix
        yield from functions(node, inner)


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Yield what stands in the code and must not."""
    modules = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    calls = {"torch.load", "torch.save", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in modules)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & calls
            if (node.module or "").split(".")[0] in modules:
                yield str(node.module)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in calls or name in ("eval", "exec", "compile", "__import__"):
                yield name
            yield from (f"{name}(allow_pickle)" for keyword in node.keywords if keyword.arg == "allow_pickle")
        elif isinstance(node, ast.Assert) or (isinstance(node, ast.ExceptHandler) and node.type is None):
            yield type(node).__name__
