"""Check that the pages of a built site load nothing from another host: `python check.py SITE`."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path

# Elements whose address a browser loads by itself, and the attribute that has it. What a
# `<link>` loads follows from `rel`: a canonical address is not loaded.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
NOT_LOADED = {"canonical", "prev", "next"}


class LoadedAddresses(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of an element that loads one."""
        values = dict(attrs)
        address = values.get(LOADED.get(tag, ""))
        if address and not (tag == "link" and values.get("rel") in NOT_LOADED):
            self.found.append(address)


def foreign(html: str) -> list[str]:
    """Return the addresses of other hosts that a page loads."""
    parser = LoadedAddresses()
    parser.feed(html)
    return [found for found in parser.found if found.startswith(("http:", "https:", "//"))]


def main(site: Path) -> int:
    """Print what pages load from other hosts; return the exit code."""
    pages = sorted(site.rglob("*.html"))
    found = [(page, address) for page in pages for address in foreign(page.read_text())]
    for page, address in found:
        print(f"{page} loads {address}", file=sys.stderr)
    if not found:
        print(f"{len(pages)} pages, none of which loads anything from another host")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
