"""Refuses a file that the tests reach too little of; a total would let one hide behind the others.

Type: coverage json -o FIGURES && python .ci/coverage_by_file.py FIGURES
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

LEAST = 90.0
WHOLLY = re.compile(r"easyseg/(?:(?:metrics|geometry|structures|config)/|errors\.py$)")
"""Files of which every line and branch is reached."""


def main(figures: str) -> int:
    """Name the files that fall short, and return how many there are."""
    files = json.loads(Path(figures).read_text(encoding="utf-8"))["files"]
    if not files:
        raise SystemExit(f"{figures} names no file at all.")
    short = 0
    for name, found in sorted(files.items()):
        covered = found["summary"]["percent_covered"]
        needed = 100.0 if WHOLLY.search(Path(name).as_posix()) else LEAST
        if covered < needed:
            short += 1
            lines = ", ".join(map(str, found["missing_lines"][:12]))
            sys.stderr.write(f"{name}: {covered:.1f} % of lines and branches, {needed:g} % needed; missing: {lines}\n")
    return short


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1]), 1))
