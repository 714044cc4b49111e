"""What `make docs` adds to the pages of docs/: mkdocs calls the functions that begin with `on_`.

README, CHANGELOG and CONTRIBUTING become pages; the pages of the commands and of the Python API are
made from click and from docstrings. Links are those that GitHub follows: here they are led to
pages, and links to source files become their paths.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from lolvit.cli import lolvit as command_line
from lolvit.commands import SECTIONS, SETUP_SECTIONS
from lolvit.manifest import SCHEMA_VERSION, Manifest

ROOT = Path(__file__).parents[3]
DOCS = "docs/"
# Files of the repository's root, and the pages that they become.
ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
SCHEMAS = "benchmarks/lolvit_benchmarks/results/schema/"
MANIFEST_SCHEMA = f"schema/manifest-{SCHEMA_VERSION}.json"

# Names of the public API, in the page's order: heading, and where the name is defined.
PYTHON_API: dict[str, dict[str, str]] = {
    "Functions": {
        "lolvit.export": "lolvit_export.api.export",
        "lolvit.verify": "lolvit_export.verification.verification.verify",
        "lolvit.load": "lolvit_runtimes.predict.load",
        "lolvit.benchmark": "lolvit_benchmarks.api.benchmark",
        "lolvit.create_model": "lolvit.models.create_model",
    },
    "What they return": {
        "ExportResult": "lolvit_export.request.ExportResult",
        "Verification": "lolvit_export.verification.verification.Verification",
        "Predictor": "lolvit_runtimes.predict.Predictor",
        "Benchmark": "lolvit_benchmarks.api.Benchmark",
    },
    "Predictions": {
        "Classification": "lolvit.tasks.classification.Classification",
        "Ranked": "lolvit.tasks.classification.Ranked",
        "Detections": "lolvit.tasks.detection.Detections",
        "Detection": "lolvit.tasks.detection.Detection",
        "SegmentationMap": "lolvit.tasks.segmentation.SegmentationMap",
        "Tensors": "lolvit.tasks.tensors.Tensors",
    },
    "Errors": {
        f"lolvit.errors.{name}": f"lolvit.errors.{name}"
        for name in (
            "LolvitError", "UserError", "MissingExtraError", "GateFailedError", "DeviceError"
        )
    },
    "Documents": {
        "Manifest": "lolvit.manifest.Manifest",
        "Artifact": "lolvit.manifest.Artifact",
        "Gate": "lolvit.manifest.Gate",
        "Signature": "lolvit.manifest.Signature",
        "TensorSpec": "lolvit.manifest.TensorSpec",
        "Preprocessing": "lolvit.manifest.Preprocessing",
    },
}  # fmt: skip

# A block of code, a code span, or a link or image with its target.
_LINKS = re.compile(
    r"^ *```.*?^ *```$|`[^`\n]+`(?!\])|(?P<before>!?\[(?:`[^`]*`|[^\]`])*\]\()(?P<to>[^)\s]+)\)",
    re.MULTILINE | re.DOTALL,
)
_IMAGES = re.compile(r'(?P<before><img [^>]*src=")(?P<to>[^"]+)"')
# A picture that is another one on dark pages.
_PICTURES = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="(?P<dark>[^"]+)">\s*'
    r'(?P<before><img [^>]*src=")(?P<light>[^"]+)(?P<after>"[^>]*>)\s*</picture>'
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the tutorials, where there are some, after the first section."""
    folder = Path(config.docs_dir) / "tutorials"
    tutorials = sorted(folder.glob("*.md"), key=lambda path: (path.stem != "index", path.name))
    if tutorials and config.nav is not None:
        pages = [f"tutorials/{path.name}" for path in tutorials]
        config.nav.insert(1, {"Tutorials": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file of docs/ has, and the schemas."""
    generated = {page: (ROOT / name).read_text() for name, page in ROOT_PAGES.items()}
    generated |= {"commands.md": commands_page(), "python-api.md": python_page()}
    generated[MANIFEST_SCHEMA] = json.dumps(Manifest.model_json_schema(), indent=1)
    generated |= {f"schema/{p.name}": p.read_text() for p in (ROOT / SCHEMAS).glob("*.json")}
    for uri, content in generated.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of a page to what the site has."""
    uri = page.file.src_uri
    here = next((name for name, to in ROOT_PAGES.items() if to == uri), f"{DOCS}{uri}")

    def led(match: re.Match[str]) -> str:
        if match.lastgroup is None:
            return match[0]
        target = site_target(match["to"], posixpath.dirname(here), posixpath.dirname(uri))
        if target is None:  # a source file: its path
            text = match["before"].removesuffix("](").removeprefix("[")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(here), match["to"]))
            return text if text.strip("`") == path else f"{text} (`{path}`)"
        return match["before"] + target + match[0][-1]

    led_markdown = _IMAGES.sub(led, _LINKS.sub(led, by_palette(markdown)))
    if uri == "manifest.md":
        led_markdown += f"\n\nThe same as a JSON Schema: [{MANIFEST_SCHEMA}]({MANIFEST_SCHEMA}).\n"
    return led_markdown


def by_palette(markdown: str) -> str:
    """Return a page whose `<picture>` elements follow the site's colours, which a reader may
    choose, where they followed the system's."""
    return _PICTURES.sub(
        r"\g<before>\g<light>#only-light\g<after>\g<before>\g<dark>#only-dark\g<after>", markdown
    )


def site_target(link: str, here: str, page_folder: str) -> str | None:
    """Return what a link of a page in the repository's folder `here` is on the site, seen from
    `page_folder`; None if it leads to a file that the site does not have."""
    path, _, anchor = link.partition("#")
    if not path or re.match(r"[a-z]+:", link):
        return link
    target = posixpath.normpath(posixpath.join(here, path))
    if target in ROOT_PAGES:
        target = ROOT_PAGES[target]
    elif target.startswith(SCHEMAS):
        target = f"schema/{posixpath.basename(target)}"
    elif target.startswith(DOCS):
        target = target.removeprefix(DOCS)
    else:
        return None
    return posixpath.relpath(target, page_folder or ".") + (f"#{anchor}" if anchor else "")


def python_page() -> str:
    """Return the page of the Python API, for mkdocstrings to fill."""
    lines = [
        "# Python API",
        "",
        "`import lolvit` loads no torch; each name is imported on use.",
        "",
    ]
    for section, names in PYTHON_API.items():
        lines += [f"## {section}", ""]
        for heading, identifier in names.items():
            lines += [f"::: {identifier}", f"    options: {{heading: {heading}}}", ""]
    return "\n".join(lines)


def commands_page() -> str:
    """Return the page of all commands, with the texts of `--help`."""
    lines = [
        "# Commands", "",
        "Made from the texts of `--help`. Exit codes and what else commands have in common:",
        "[the command line](command-line.md).", "",
    ]  # fmt: skip
    context = click.Context(command_line, info_name="lolvit")
    for title, section in SECTIONS.items():
        lines += [f"## {title}", ""]
        for name in section:
            command = command_line.get_command(context, name)
            assert command is not None
            lines += command_entry(command, f"lolvit {name}", context, name)
            if isinstance(command, click.Group):
                lines += setup_entries(command, context)
    return "\n".join(lines)


def setup_entries(group: click.Group, context: click.Context) -> Iterator[str]:
    """Yield the lines of the commands of `lolvit setup`."""
    inner = click.Context(group, info_name="setup", parent=context)
    for name in (name for section in SETUP_SECTIONS.values() for name in section):
        command = group.get_command(inner, name)
        assert command is not None
        yield from command_entry(command, f"lolvit setup {name}", inner, name)


def command_entry(
    command: click.Command, title: str, parent: click.Context, name: str
) -> Iterator[str]:
    """Yield the lines of a command: description, usage, options."""
    context = click.Context(command, info_name=name, parent=parent)
    yield from (f"### {title}", "")
    yield from (escaped(paragraph) for paragraph in paragraphs(command.help or ""))
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("```", f"{title} {usage}", "```", "", "| option | |", "| --- | --- |")
    for parameter in command.get_params(context):  # an argument is described in the text
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            option, text = (re.sub(r"\s+", " ", part) for part in record)
            words = " ".join(f"`{word}`" for word in option.split())  # lines end between them
            yield f"| {words} | {escaped(text)} |"
    yield ""


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text, those that click keeps as they are as blocks."""
    for paragraph in re.split(r"\n\s*\n", text.partition("\f")[0]):
        body = paragraph.strip("\n")
        if body.startswith("\b"):
            yield "```\n" + body.removeprefix("\b").strip("\n") + "\n```\n"
        else:
            yield " ".join(body.split()) + "\n"


def escaped(text: str) -> str:
    """Return a help text with what Markdown would take for markup as text."""
    return text if text.startswith("```") else re.sub(r"([*_<>|\[\]])", r"\\\1", text)
