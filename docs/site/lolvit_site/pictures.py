"""Pictures of a part of a report for the documentation, in the report's own light and dark colours:

    python docs/site/lolvit_site/pictures.py report.html ".cards" docs/images/NAME.png --width 1000

writes NAME.png and NAME-dark.png. `hooks.py` shows the one that suits the site's colours; where
GitHub shows a page, its `<picture>` does.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from lolvit.files import write_atomic
from lolvit_benchmarks.backends.browser import chromium

MARGIN = 16  # pixels around what is shown, as the report's own
_HIGHEST = 4000  # pixels: more than any picture has
_SECONDS = 120


def only(report: str, selector: str) -> str:
    """Return a report that shows nothing but those of its elements, direct children of its body,
    that a CSS selector matches; without captions."""
    style = (
        f"<style>body {{ max-width: none; }} body > :not({selector}), figcaption"
        " { display: none !important; }</style>"
    )
    return report.replace("</head>", f"{style}</head>", 1)


def picture(page: Path, width: int, *, dark: bool) -> Image.Image:
    """Return a page as Chromium shows it, `width` pixels wide and higher than anything on it.

    Raises:
        DeviceError: no Chromium is installed.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shot = Path(folder) / "shot.png"
        command = chromium.command(chromium.require(), Path(folder) / "profile", page.as_uri())
        flags = [f"--screenshot={shot}", f"--window-size={width},{_HIGHEST}", "--hide-scrollbars",
                 f"--blink-settings=preferredColorScheme={0 if dark else 1}"]  # fmt: skip
        subprocess.run([*command, *flags], check=True, capture_output=True, timeout=_SECONDS)
        return Image.open(shot).convert("RGB")


def trimmed(image: Image.Image, least: int) -> Image.Image:
    """Return an image without the empty part below, at least `least` pixels high."""
    empty = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
    found = ImageChops.difference(image, empty).getbbox()
    bottom = MARGIN if found is None else found[3] + MARGIN
    return image.crop((0, 0, image.width, min(image.height, max(bottom, least))))


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("selector", help="CSS, of children of the report's body")
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=1000, help="in pixels, at least 500")
    parser.add_argument("--height", type=int, default=0, help="in pixels, at least")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(only(given.report.read_text(), given.selector))
        for dark in (False, True):
            path = given.out.with_stem(f"{given.out.stem}-dark") if dark else given.out
            buffer = io.BytesIO()
            shown = trimmed(picture(page, given.width, dark=dark), given.height)
            shown.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
            write_atomic(path, buffer.getvalue())
            print(f"{path}: {shown.width}x{shown.height}")


if __name__ == "__main__":
    main()
