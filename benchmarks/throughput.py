"""Images per second of `fit` against a plain loop, Lightning and the bare training step.

    EASYSEG_DATA=... python benchmarks/throughput.py [--rounds 5] [--without-lightning]

Each loop of loops.py runs in a process of its own, one after the other, round by round, so that a machine whose speed
drifts slows all of them alike; the ratios of each round are what counts, and their median is printed last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

STEPS = {"plain": 60, "lightning": 60, "bare": 40, "easyseg": 170}  # easyseg: four epochs, the first of which decodes


def images_per_second(loop: str) -> float:
    """Run one loop in a process of its own."""
    script = Path(__file__).with_name("loops.py")
    command = [sys.executable, str(script), loop, "--steps", str(STEPS[loop])]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(output.splitlines()[-1])["images_per_second"])


def main() -> None:
    """Run the rounds and print a table of rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-lightning", action="store_true")
    options = parser.parse_args()
    others = ["plain", "bare"] if options.without_lightning else ["plain", "lightning", "bare"]
    ratios: dict[str, list[float]] = {name: [] for name in others}
    for number in range(1, options.rounds + 1):
        rates = {name: images_per_second(name) for name in ["easyseg", *others]}
        for name in others:
            ratios[name].append(rates["easyseg"] / rates[name])
        words = "  ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
        print(f"round {number}, images/s: {words}", flush=True)
    for name, found in ratios.items():
        print(f"easyseg / {name}: median {statistics.median(found):.2f} (from {min(found):.2f} to {max(found):.2f})")


if __name__ == "__main__":
    main()
