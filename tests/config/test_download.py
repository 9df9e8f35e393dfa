"""The settings of a download."""

from __future__ import annotations

import pytest

from easyseg.config import DownloadSettings
from easyseg.errors import ConfigError


def test_defaults_are_the_published_places() -> None:
    """Encrypted, and without a slash at the end."""
    settings = DownloadSettings()
    assert settings.annotations_url == "https://storage.googleapis.com/openimages"
    assert settings.images_url == "https://open-images-dataset.s3.amazonaws.com"
    assert DownloadSettings.of({"images_url": "http://mirror/"}).images_url == "http://mirror"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"images_url": "file:///etc"}, "an address that begins with https://"),
        ({"annotations_url": "mirror"}, "an address that begins with https://"),
        ({"limit": 0}, "a whole number of at least 1"),
        ({"threads": 100}, "a whole number from 1 to 64"),
        ({"split": "validation"}, "'train', 'val' or 'test'"),
    ],
)
def test_values_that_cannot_be(given: dict[str, object], words: str) -> None:
    """Each is refused with what is expected."""
    with pytest.raises(ConfigError, match=words):
        DownloadSettings.of(given)
