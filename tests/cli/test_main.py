"""The program's own words, its exit codes, and how fast it answers."""

from __future__ import annotations

import runpy
import subprocess
import sys
import time

import pytest

from easyseg import __version__
from easyseg.cli import COMMANDS, main
from easyseg.cli import list_command as listing
from easyseg.errors import EasySegError


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`easyseg --help` lists the commands and ends with success."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert "examples:" in shown


def test_no_words_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`easyseg` alone shows what there is."""
    with pytest.raises(SystemExit):
        main([])
    assert "usage: easyseg COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`easyseg COMMAND --help` shows its usage."""
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: easyseg {command}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`easyseg --version` prints the package's version."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"easyseg {__version__}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["--verison"], "Did you mean '--version'?"),
        (["--"], "Did you mean '--help'?"),
        (["train", "--epoch", "3"], "Did you mean '--epochs'?"),
        (["train", "--learningrate=3"], "Did you mean '--learning-rate'?"),
        (["train", "config.yaml", "extra"], "'extra'"),
        (["train", "--data"], "--data needs a value after it. Type: easyseg train --help"),
        (["list"], "easyseg list models, or: easyseg list encoders"),
        (["list", "modles"], "Did you mean 'models'?"),
        (["list", "resnet*"], "easyseg list encoders 'resnet*'"),
        (["list", "models", "unte"], "Did you mean 'unet'?"),
        (["list", "encoders", "resnt*"], "Did you mean 'resnet*'?"),
        (["list", "encoders", "*resnt50"], "Did you mean '*resnet50'?"),
        (["list", "encoders", "qqqq"], "No encoders match 'qqqq'; * stands for any letters.\n"),
        (["evaluate"], "Still to be given: RUN. Type: easyseg evaluate --help"),
        (
            ["predict", "m", "--source", "a", "--to", "b", "--kind", "fancy"],
            "--kind is 'fancy'; choose one of ",  # Python 3.13 lists them without quotes
        ),
    ],
)
def test_a_wrong_word_is_one_readable_line(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A word that is not known ends with code 2 and a line that says what was probably meant."""
    assert main(words) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("easyseg: ")
    assert expected in complaint
    assert "Traceback" not in complaint


def test_debug_shows_the_traceback() -> None:
    """With `--debug` the error itself comes out, wherever the word stands."""
    with pytest.raises(EasySegError, match="--epochs"):
        main(["train", "--epoch", "3", "--debug"])


def test_interruption_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends with code 130."""

    def interrupt(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "run", interrupt)
    assert main(["list", "models"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error() -> None:
    """`easyseg list models | head -0` ends quietly."""
    program = "import sys, easyseg.cli; sys.exit(easyseg.cli.main(['list', 'models']))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    complaint = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0
    assert "BrokenPipe" not in complaint


def test_help_is_fast() -> None:
    """The top-level help answers within 0.3 s and loads neither torch, numpy nor pydantic."""
    program = (
        "import sys, easyseg.cli\n"
        "try: easyseg.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "loaded = {'torch', 'numpy', 'pydantic', 'cv2'} & sys.modules.keys()\n"
        "sys.exit(' '.join(loaded) or None)"
    )
    seconds = []
    for _ in range(3):  # the first start may wait for the disk
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
        seconds.append(time.perf_counter() - started)
        assert done.returncode == 0, done.stderr
    assert min(seconds) < 0.3


def test_module_runs_as_a_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m easyseg` is the command line."""
    monkeypatch.setattr(sys, "argv", ["easyseg", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("easyseg", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"easyseg {__version__}\n"


def test_module_does_nothing_under_another_name() -> None:
    """A worker process that is spawned imports the main module once more, and must not train again."""
    runpy.run_module("easyseg.__main__", run_name="__mp_main__")
