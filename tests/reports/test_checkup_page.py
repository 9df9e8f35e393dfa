"""The report of a checkup: one file with everything in it, safe whatever the files are called."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from easyseg.errors import OutputError
from easyseg.reports.checkup_page import write_checkup
from easyseg.results import Case, Checkup, ClassShare, Finding
from easyseg.results.checkup import Panel, PicturedCase

HOSTILE = "<script>alert(1)</script>.png"


def checkup(cases: int = 3) -> Checkup:
    """Return a checkup with an error of so many cases, and a note."""
    found = Finding.of(
        "unknown_values",
        "error",
        [Case(HOSTILE, "77: 12 px", (number,)) for number in range(cases)],
        f"{cases} masks with values that no class has.",
        "Type ignore=[77].",
    )
    notes = Finding("class_imbalance", "note", "1 of 2 classes is rare.", "", 1, (Case("car", "0.2%"),))
    shares = tuple(
        ClassShare(split, name, pixels, pixels / 100, int(pixels > 0))
        for split, counts in (("train", (98, 2)), ("val", (100, 0)))
        for name, pixels in zip(("road", "car"), counts, strict=True)
    )
    return Checkup("data/streets", 10, 10, {"train": 8, "val": 2}, ("road", "car"), (found, notes), shares, 1.0)


def written(path: Path, found: Checkup, pictures: dict[str, list[PicturedCase]] | None = None) -> str:
    """Write the report and return its text."""
    colors = {"road": (1, 2, 3), "car": (4, 5, 6)}
    write_checkup(path / "report.html", found, pictures=pictures or {}, colors=colors)
    return (path / "report.html").read_text()


def test_everything_that_was_found_is_there(tmp_path: Path) -> None:
    """Verdict, findings with what to do, cases, and the classes of each split."""
    page = written(tmp_path, checkup())
    for text in (
        "Checkup of streets",
        "Not healthy: 1 error",
        "href='#unknown_values'",
        "id='unknown_values'",
        "3 masks with values that no class has.",
        "Type <code>ignore=[77]</code>.",
        "77: 12 px",
        "98.00%",
        "<td class=none>0</td>",
        "rgb(4 5 6)",
    ):
        assert text in page


def test_the_page_is_well_formed_and_needs_nothing_else(tmp_path: Path) -> None:
    """Every tag is closed, and nothing is loaded from anywhere."""
    picture = PicturedCase("a.png", (Panel("image", np.zeros((4, 6, 3), np.uint8)),))
    page = written(tmp_path, checkup(), {"unknown_values": [picture]})
    open_tags: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "img"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Checker().feed(page)
    assert open_tags == []
    assert not re.search(r"(src|href)=['\"](?!data:|#)", page)
    assert "url(" not in page
    assert "data:image/webp;base64," in page


def test_names_cannot_do_harm(tmp_path: Path) -> None:
    """A file's name is text, whatever it is."""
    picture = PicturedCase(HOSTILE, (Panel(HOSTILE, np.zeros((4, 6, 3), np.uint8)),))
    assert "<script" not in written(tmp_path, checkup(), {"unknown_values": [picture]})


def test_cases_below_their_pictures_are_not_listed_twice(tmp_path: Path) -> None:
    """Where every case has its picture, there is no list of them."""
    pictures = [PicturedCase(str(number), (Panel("a", np.zeros((4, 6, 3), np.uint8)),)) for number in range(3)]
    assert (
        "<details" not in written(tmp_path, checkup(3), {"unknown_values": pictures}).split("id='class_imbalance'")[0]
    )
    assert "4 cases" in written(tmp_path, checkup(4), {"unknown_values": pictures})


def test_very_many_cases_are_cut(tmp_path: Path) -> None:
    """The page stays small, and says how many more there are."""
    page = written(tmp_path, checkup(1500))
    assert page.count("77: 12 px") == 200
    assert "and 1,300 more" in page


def test_a_healthy_dataset_has_a_short_page(tmp_path: Path) -> None:
    """Nothing to mend is said, and no classes are shown where none are known."""
    page = written(tmp_path, Checkup("data/streets", 1, 1, {}, (), ()))
    assert "Nothing to mend and nothing to note." in page
    assert "verdict healthy" in page
    assert "<h2>Classes" not in page


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The error says what is in the way."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        written(tmp_path / "file", checkup())


@pytest.mark.parametrize(
    ("advice", "shown"),
    [
        ("Type ignore=[11, 254].", "Type <code>ignore=[11, 254]</code>."),
        ("Type class_weights='balanced' & more", "Type <code>class_weights=&#x27;balanced&#x27;</code> &amp; more"),
        ("Type --ignore 254; or wait.", "Type <code>--ignore 254</code>; or wait."),
        ("Nothing to type, 2 < 3.", "Nothing to type, 2 &lt; 3."),
    ],
)
def test_what_to_type_is_set_apart(tmp_path: Path, advice: str, shown: str) -> None:
    """Keywords and flags with their values, and nothing else."""
    found = Checkup("streets", 1, 1, {}, (), (Finding("layout", "error", "Odd.", advice),), (), 1.0)
    assert shown in written(tmp_path, found)


def test_notes_are_folded(tmp_path: Path) -> None:
    """Good to know, but nobody has to scroll past them; what is to be mended stands open."""
    cases = (Case("a.png"),)
    for severity, folded in (("note", True), ("warning", False)):
        finding = Finding("series", severity, "Frames.", "", 1, cases)
        page = written(tmp_path, Checkup("streets", 1, 1, {}, (), (finding,), (), 1.0))
        assert ("<summary>Show them</summary>" in page) is folded
