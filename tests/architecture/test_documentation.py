"""What the pages say of names in the code stays true."""

from __future__ import annotations

import ast
import functools
import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from PIL import Image
from pydantic import BaseModel

import lolvit
from lolvit.cli import lolvit as command_line
from lolvit.commands import COMMANDS, SETUP_SECTIONS, commands_of
from lolvit.manifest import Artifact, Manifest, Preprocessing, TensorSpec, Weights
from lolvit_benchmarks.results.document import Document, ModelResult, Result
from lolvit_export.photos import CALIBRATION, VERIFICATION
from lolvit_site import check, hooks, pictures, targets
from tests.benchmarks.chromium_page import needs_chromium

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]
# The changelog names what was renamed.
PAGES_OF_COMMANDS = [page for page in PAGES if page.name != "CHANGELOG.md"]
SOURCES = (
    ROOT,
    *(ROOT / name for name in ("data", "export", "runtimes", "benchmarks", "training")),
)
SHELL = ("", "sh", "bash")
# Of python android_demo/driver, by make android ANDROID_FLAGS=…; of torchrun.
OTHER_OPTIONS = {"--abi", "--budget", "--max-restarts"}

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"|srcset=\"([^\"]+)\"")


def rows(page: str) -> list[list[str]]:
    """Return the cells of a page's table rows."""
    lines = (ROOT / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]


def blocks(text: str, *languages: str) -> list[str]:
    """Return the fenced blocks of some languages; "" is that of a block without one."""
    found = [(language, body) for _, language, body in _BLOCK.findall(text)]
    return [textwrap.dedent(body) for language, body in found if language in languages]


def spans(text: str) -> list[str]:
    """Return the code spans outside of fenced blocks, each on one line."""
    return [" ".join(span.split()) for span in _SPAN.findall(_BLOCK.sub("", text))]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text()), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def commands_in(text: str) -> list[list[str]]:
    """Return the words after `lolvit` of each call in shell blocks and code spans."""
    lines = [
        line for block in blocks(text, *SHELL) for line in block.replace("\\\n", " ").splitlines()
    ]
    found = []
    for line in (*lines, *spans(text)):
        # What is not shell (a sentence, an XML tag) is not parsed.
        call = re.match(r"(?:lolvit|(?:torchrun|python) .*?-m lolvit) ((?:-|\w).+)", line.strip())
        if call is not None:
            words = shlex.split(call[1], comments=True)
            found.append([word for word in words if word not in ("…", "...")])
    return found


@functools.cache
def command_of(*names: str) -> click.Command:
    """Return a command that `--help` lists."""
    listed = commands_of(SETUP_SECTIONS) if names[:1] == ("setup",) and names[1:] else COMMANDS
    assert names[-1] in listed, f"lolvit --help lists no command '{' '.join(names)}'"
    found: click.Command = command_line
    for name in names:
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), name)
        assert inner is not None
        found = inner
    return found


def options_of(command: click.Command) -> set[str]:
    """Return the options that a command's `--help` lists."""
    listed = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    return {name for p in listed for name in (*p.opts, *p.secondary_opts)} | {"--help"}


@functools.cache
def all_options() -> set[str]:
    """Return the options of all commands."""
    calls: list[tuple[str, ...]] = [(name,) for name in COMMANDS]
    calls += [("setup", name) for name in commands_of(SETUP_SECTIONS)]
    return {"--help", "--version"}.union(*(options_of(command_of(*names)) for names in calls))


def wrong_options(words: list[str]) -> Iterator[str]:
    """Yield what `lolvit WORDS` names and the command line lacks."""
    names = words[:2] if words[0] == "setup" and words[1:] and words[1].isalpha() else words[:1]
    if words[0].startswith("-") or words[0].isupper():  # lolvit --help, lolvit COMMAND
        known = all_options()
    else:
        known = options_of(command_of(*names))
    for word in words[: words.index("--")] if "--" in words else words:
        if word.startswith("--") and word.partition("=")[0] not in known:
            yield f"lolvit {' '.join(names)} has no {word}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_line_has_a_row_for_each_command(name: str) -> None:
    assert [row for row in rows("docs/command-line.md") if row[0].startswith(f"`lolvit {name}")]


@pytest.mark.parametrize(
    ("photo", "use"),
    [(photo, "verification") for photo in VERIFICATION]
    + [(photo, "calibration") for photo in CALIBRATION],
)
def test_each_photo_has_its_use_and_terms(photo: str, use: str) -> None:
    (found,) = [row for row in rows("docs/photos.md") if re.split(r"[, ]", row[0])[0] == photo]
    assert found[1] == use
    assert found[4]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for found in _LINK.findall(_BLOCK.sub("", page.read_text())):
        link = "".join(found)
        if link.startswith(("https:", "http:")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}"
            # GitHub and the site number headings of the same text differently.
            text, _, number = anchor.rpartition("-")
            assert not (number.isdigit() and text in anchors(target)), f"{page.name}: {link}"


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    class Loader(yaml.SafeLoader):
        """Reads a name of Python, which the site's configuration has, as nothing."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    configuration = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)
    listed = [page for section in configuration["nav"] for page in next(iter(section.values()))]
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("*.md")]
    made = {*hooks.ROOT_PAGES.values(), "commands.md", "python-api.md"}
    assert sorted(listed) == sorted({*pages, *made})


@pytest.mark.parametrize(
    ("link", "page", "expected"),
    [
        ("docs/lint.md#rules", "README.md", "lint.md#rules"),
        ("../README.md", "docs/lint.md", "index.md"),
        ("../CHANGELOG.md#renamed", "docs/tutorials/a.md", "../changelog.md#renamed"),
        ("../images/a.png", "docs/tutorials/a.md", "../images/a.png"),
        (f"../{hooks.SCHEMAS}result-2.json", "docs/results.md", "schema/result-2.json"),
        ("https://pypi.org/", "docs/lint.md", "https://pypi.org/"),
        ("#rules", "docs/lint.md", "#rules"),
        ("../lolvit/manifest.py", "docs/lint.md", None),
    ],
)
def test_a_link_of_a_page_leads_to_what_the_site_has(
    link: str, page: str, expected: str | None
) -> None:
    # As GitHub reads it, from the page's folder; a tutorial is one folder deeper.
    link = f"../{link}" if "tutorials" in page and "CHANGELOG" in link else link
    folder = page.rpartition("/")[0]
    on_site = "" if folder in ("", "docs") else folder.removeprefix("docs/")
    assert hooks.site_target(link, folder, on_site) == expected


def test_a_picture_for_dark_pages_follows_the_colours_of_the_site() -> None:
    page = (
        'As <picture><source media="(prefers-color-scheme: dark)" srcset="images/a-dark.png">\n'
        '<img src="images/a.png" width="402" alt="A plot"></picture>.'
    )
    assert hooks.by_palette(page) == (
        'As <img src="images/a.png#only-light" width="402" alt="A plot">'
        '<img src="images/a-dark.png#only-dark" width="402" alt="A plot">.'
    )


@needs_chromium
def test_pictures_of_a_report_have_one_part_of_it_in_its_light_and_dark_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report.html"
    report.write_text(
        "<!doctype html><html><head><style>body { margin: 0; background: #fff; }"
        "@media (prefers-color-scheme: dark) { body { background: #000; } }"
        "div { height: 70px; }</style></head><body><h1>Title</h1>"
        '<div class="cards" style="background: #0a0"></div><div style="background: #00a"></div>'
    )
    given = [str(report), ".cards", str(tmp_path / "part.png"), "--width", "600"]
    monkeypatch.setattr("sys.argv", ["pictures.py", *given])
    pictures.main()
    for name, page in (("part.png", (255, 255, 255)), ("part-dark.png", (0, 0, 0))):
        image = Image.open(tmp_path / name).convert("RGB")
        assert image.size == (600, 70 + pictures.MARGIN)
        assert image.getpixel((300, 35)) == (0, 0xAA, 0)
        assert image.getpixel((300, 80)) == page


def test_the_tables_of_targets_are_those_of_the_code() -> None:
    page = targets.PAGE.read_text()
    assert targets.with_generated(page) == page, "run: python docs/site/lolvit_site/targets.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_commands_has_every_option(name: str) -> None:
    entry = hooks.commands_page().split(f"\n### lolvit {name}\n")[1].split("\n### ")[0]
    missing = {option for option in options_of(command_of(name)) if option not in entry}
    assert not missing
    assert not [span for span in spans(entry) if "\\" in span], "a code span shows a backslash"


def test_the_page_of_the_python_api_has_every_public_name() -> None:
    documented = hooks.PYTHON_API["Functions"]
    assert set(documented) == {f"lolvit.{name}" for name in lolvit._PUBLIC}
    for section in hooks.PYTHON_API.values():
        for identifier in section.values():
            module, _, name = identifier.rpartition(".")
            assert name in defined_names(module), identifier


def test_a_page_that_loads_something_from_another_host_is_found() -> None:
    page = (
        '<link rel="canonical" href="https://a.org"><a href="https://b.org">b</a><img src="c.png">'
        '<script src="https://d.org/x.js"></script><link rel="stylesheet" href="//e.org/f.css">'
    )
    assert check.foreign(page) == ["https://d.org/x.js", "//e.org/f.css"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_that_pages_name_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make ([a-z0-9-]+)", page.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


@pytest.mark.parametrize("page", PAGES_OF_COMMANDS, ids=lambda page: page.name)
def test_commands_and_options_that_pages_name_are_in_the_help(page: Path) -> None:
    text = page.read_text()
    wrong = [line for words in commands_in(text) for line in wrong_options(words)]
    bare = {span.split("=")[0].split()[0] for span in spans(text) if span.startswith("--")}
    unknown = bare - all_options() - OTHER_OPTIONS
    assert not wrong + [f"no command has {option}" for option in sorted(unknown)]


def imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield module and name of what a block imports from this distribution."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lolvit"):
            yield from ((str(node.module), alias.name) for alias in node.names)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "lolvit":
            yield "lolvit", node.attr


def source_of(module: str) -> Path:
    """Return the file of a module of this distribution."""
    relative = Path(*module.split("."))
    places = [root / each for root in SOURCES for each in (relative, relative.with_suffix(".py"))]
    path = next((p for p in places if p.suffix and p.is_file()), None)
    return path or next(p / "__init__.py" for p in places if (p / "__init__.py").is_file())


def keywords_of(name: str) -> set[str] | None:
    """Return the keyword arguments of a function of the public API, without importing it; None: it
    takes any."""
    module, _, function = lolvit._PUBLIC[name].partition(":")
    source = source_of(module)
    found = [
        node
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    ]
    if not found or found[0].args.kwarg is not None:
        return None
    return {each.arg for each in (*found[0].args.args, *found[0].args.kwonlyargs)}


def defined_names(module: str) -> set[str]:
    """Return the names that a module defines or imports, without importing it."""
    path = source_of(module)
    names: set[str] = {p.stem for p in path.parent.iterdir()} if path.stem == "__init__" else set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_pages_compiles_and_names_what_exists(page: Path) -> None:
    for block in blocks(page.read_text(), "python"):
        tree = ast.parse(block)
        for module, name in imported_names(tree):
            submodules = {"models", "errors", "manifest", "tasks"}
            known = {*lolvit.__all__} | submodules if module == "lolvit" else defined_names(module)
            assert name in known, f"{module} has no {name}"
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            owner, _, name = ast.unparse(call.func).rpartition(".")
            taken = keywords_of(name) if owner == "lolvit" else None
            given = {keyword.arg for keyword in call.keywords}
            assert taken is None or given <= taken, f"lolvit.{name} does not take {given - taken}"


SECTIONS_OF_FIELDS: dict[tuple[str, str], type[BaseModel]] = {
    ("manifest.md", "The export"): Manifest,
    ("manifest.md", "`weights`"): Weights,
    ("manifest.md", "`preprocessing`"): Preprocessing,
    ("manifest.md", "Tensors"): TensorSpec,
    ("manifest.md", "Artifacts"): Artifact,
    ("results.md", "The document"): Document,
    ("results.md", "A result"): Result,
    ("results.md", "A model"): ModelResult,
}


@pytest.mark.parametrize("section", SECTIONS_OF_FIELDS, ids=" ".join)
def test_each_field_of_a_document_is_described(section: tuple[str, str]) -> None:
    page, heading = section
    text = (ROOT / "docs" / page).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    first_cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    described = {name for cell in first_cells for name in _SPAN.findall(cell)}
    assert described == set(SECTIONS_OF_FIELDS[section].model_fields)


def test_a_command_that_a_page_gets_wrong_is_found() -> None:
    block = "```sh\nlolvit bench lolvit_x \\\n    --fresh --size 64  # again\n```"
    page = f"{block}\nand `lolvit devices --jsn`"
    wrong = [line for words in commands_in(page) for line in wrong_options(words)]
    assert wrong == ["lolvit bench has no --fresh", "lolvit devices has no --jsn"]
    with pytest.raises(AssertionError, match="browser-setup"):
        list(wrong_options(["browser-setup"]))
