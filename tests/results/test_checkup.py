"""A checkup tells shortly how a dataset is, and at length what is wrong with it."""

from __future__ import annotations

import json

import pytest

from easyseg.results import Case, Checkup, ClassShare, Finding
from easyseg.results.checkup import MOST_CASES


def finding(kind: str, severity: str, count: int = 2) -> Finding:
    """Return a finding of so many cases."""
    cases = [Case(f"{number}.png", "why", (number,)) for number in range(count)]
    return Finding.of(kind, severity, cases, f"{count} files of a kind.", "Mend them.")  # type: ignore[arg-type]


def checkup(*findings: Finding) -> Checkup:
    """Return a checkup with some findings."""
    shares = (ClassShare("train", "road", 90, 0.9, 9),)
    return Checkup("data/streets", 1200, 1199, {"train": 1000, "val": 200}, ("road", "car"), findings, shares, 2.5)


def test_a_healthy_dataset_takes_three_lines() -> None:
    """Without errors and warnings: what it is, that it is healthy, and what is good to know."""
    lines = str(checkup()).splitlines()
    assert lines == [
        "data/streets: 1,200 images, 1,000 train, 200 val; 2 classes",
        "Healthy: nothing to mend; looked at 1,200 images and 1,199 masks in 2.5 s.",
        "Ready to train.",
    ]
    assert str(checkup(finding("series", "note"))).splitlines()[2] == (
        "Good to know: series of nearly equal pictures (2)."
    )


def test_every_finding_of_an_ill_dataset_is_told() -> None:
    """What was found, where, and what to do."""
    found = checkup(finding("truncated", "error", 5), finding("leaks", "warning", 1), finding("series", "note"))
    assert not found.is_healthy
    assert found.verdict.startswith("Not healthy: 1 error and 1 warning; looked at")
    assert str(found).splitlines()[2:5] == [
        "error: 5 files of a kind.",
        "    0.png (why); 1.png (why); 2.png (why); and 2 more",
        "    Mend them.",
    ]
    assert checkup(finding("leaks", "warning")).verdict.startswith("Not healthy: 1 warning;")


def test_findings_are_found_by_their_kind() -> None:
    """A checkup is a collection of findings."""
    found = checkup(finding("truncated", "error"), finding("void_masks", "warning"))
    assert [one.kind for one in found] == ["truncated", "void_masks"]
    assert len(found) == 2
    assert found["void_masks"].title == "Void masks"
    assert found["truncated"].title == "Files cut off"
    assert "truncated" in found
    assert "leaks" not in found
    with pytest.raises(KeyError):
        _ = found["leaks"]


def test_cases_are_bounded_and_counted() -> None:
    """A finding keeps the first cases, and counts all."""
    many = finding("truncated", "error", MOST_CASES + 5)
    assert len(many.cases) == MOST_CASES
    assert many.count == MOST_CASES + 5
    assert many.examples().endswith(f"and {MOST_CASES + 2:,} more")


def test_a_finding_without_cases_is_two_lines() -> None:
    """Where no file is at fault, none is named."""
    assert str(Finding("layout", "error", "It is wrong.", "Mend it.")).splitlines() == [
        "error: It is wrong.",
        "    Mend it.",
    ]


def test_a_checkup_is_plain_values() -> None:
    """JSON holds everything, the verdict included."""
    values = json.loads(checkup(finding("truncated", "error")).to_json())
    assert values["is_healthy"] is False
    assert values["findings"][0]["cases"][0] == {
        "name": "0.png",
        "detail": "why",
        "samples": [0],
        "objects": [],
    }
    assert values["class_shares"][0]["share"] == 0.9
    assert values["verdict"].startswith("Not healthy")


def test_one_class_and_none() -> None:
    """Names of classes count in words; where there are none, nothing is said."""
    one = Checkup("roofs", 1, 1, {}, ("roof",), ())
    assert str(one).splitlines()[0] == "roofs: 1 image; 1 class"
    assert str(Checkup("roofs", 1, 1, {}, (), ())).splitlines()[0] == "roofs: 1 image"
