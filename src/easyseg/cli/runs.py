"""Finding a run folder again."""

from __future__ import annotations

import sys
from pathlib import Path


def name_chosen_run(given: str | Path, found: Path) -> None:
    """Say which run was taken where the words left it open, so that nobody measures another one than he thinks."""
    from easyseg.reports.run_folder import is_interrupted  # loads OpenCV, which `--help` need not wait for

    if Path(given) != found:
        sys.stderr.write(f"The newest run with a model is {found}.\n")
    if is_interrupted(found):
        sys.stderr.write(f"{found} was interrupted: this is its best model so far, not that of a finished training.\n")


def resolve_last(path: str | Path) -> Path:
    """Return the path with "last" in it replaced by the newest run folder of that place.

    Args:
        path: such as "runs/last" or "runs/last/config.yaml"; a path that exists is returned as it is.

    Raises:
        CheckpointError: the path says "last", but there is no finished run.
    """
    path = Path(path)
    if path.exists() or "last" not in path.parts:
        return path
    from easyseg.reports.run_folder import find_run  # loads OpenCV, which `--help` need not wait for

    position = path.parts.index("last")
    newest = find_run(Path(*path.parts[: position + 1])).parent
    return newest.joinpath(*path.parts[position + 1 :])
