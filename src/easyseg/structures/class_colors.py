"""Colours to draw classes in."""

from __future__ import annotations

import colorsys

from easyseg.structures.kinds import Color

_CHOSEN_COLORS: tuple[Color, ...] = (
    (66, 122, 190),
    (235, 110, 45),
    (120, 96, 170),
    (70, 160, 95),
    (214, 178, 60),
    (60, 175, 185),
    (205, 70, 90),
    (150, 110, 80),
    (225, 130, 180),
    (140, 170, 60),
    (95, 110, 130),
    (170, 200, 225),
)


def default_colors(count: int) -> tuple[Color, ...]:
    """Return `count` colours that are easy to tell apart, the same ones every time.

    A single class gets a warm colour, which stands out on most images. Beyond the twelve chosen by eye, the hue walks
    around the colour circle by the golden angle, so neighbours in the list lie far apart on it.
    """
    if count == 1:
        return (_CHOSEN_COLORS[1],)
    walked = (colorsys.hsv_to_rgb((0.1 + index * 0.381966) % 1.0, 0.6, 0.8) for index in range(count))
    colors = [(round(red * 255), round(green * 255), round(blue * 255)) for red, green, blue in walked]
    return (*_CHOSEN_COLORS[:count], *colors[len(_CHOSEN_COLORS) :])
