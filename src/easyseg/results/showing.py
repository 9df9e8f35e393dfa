"""Pictures of results on a screen: below a notebook's cell, or in the system's viewer."""

from __future__ import annotations

import base64
import html
import importlib
import io
import sys

from PIL import Image

from easyseg.structures import ImageArray


def show_picture(picture: ImageArray, title: str) -> None:
    """Show (H, W, 3) uint8: in a notebook below the cell, elsewhere in the system's picture viewer."""
    image = Image.fromarray(picture)
    if "ipykernel" in sys.modules:
        importlib.import_module("IPython.display").display(image)
    else:
        image.show(title=title)


def html_figure(picture: ImageArray, caption: str) -> str:
    """Return a picture (H, W, 3) uint8 and a line of text as HTML, with nothing to load."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    encoded = base64.b64encode(data.getvalue()).decode("ascii")
    text = html.escape(caption)
    return f'<figure><img src="data:image/png;base64,{encoded}" alt="{text}"><figcaption>{text}</figcaption></figure>'
