"""Names that users bring (of classes, files, models) are data wherever they are shown: in tables,
messages, pages, Markdown, cards, Kotlin and JSON they are neither markup nor code."""

from __future__ import annotations

import html
import json
import re
import shlex
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from lolvit.cli import main
from lolvit.errors import UserError, printable
from lolvit.manifest import MANIFEST_NAME, read_manifest, write_manifest
from lolvit.text import kotlin_string, markdown, one_line, visible
from lolvit_benchmarks.backends.browser.site import ServedModels, job_files, page_files
from lolvit_benchmarks.harness.prepare import open_folder
from lolvit_benchmarks.reporting.html import as_html
from lolvit_benchmarks.reporting.table import as_markdown
from lolvit_data.table import open_dataset
from tests.benchmarks import documents
from tests.benchmarks.tiny import CLASSES, make_folder

NAMES = (
    "bad [/b] [red]x[/red]", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "\x1b[31m\x07\x00bell", "\u202egnp.exe", "zero\u200bwidth", "a\"b'c\\d", "two\nlines\r\nmore",
    "$(touch x) `touch x` ${x}", "{{ 7 * 7 }} {% raw %}", "|a|b|", "&lt;b&gt;", "\u2028sep",
    "[x](javascript:alert(1))", "*b* _i_ ~~s~~ # h", "=cmd|' /C calc'!A0", ":cat: [link=x]",
)  # fmt: skip
assert len(NAMES) > CLASSES


def nothing_hidden(text: str) -> None:
    """Check that a terminal would show a text as it is."""
    assert printable(text) == text


class Text(HTMLParser):
    """The text of a page; checks that it holds no element that can run or load anything."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)
        self.text = " ".join("".join(self.found).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "iframe", "object", "b", "a", "link")
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.found.append(data)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model whose classes have hostile names."""
    folder = make_folder(tmp_path / "model")
    manifest = read_manifest(folder)
    write_manifest(folder, manifest.model_copy(update={"labels": NAMES[:CLASSES]}))
    return folder


def test_predict_shows_class_and_file_names_and_its_json_has_them(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = []
    for number, name in enumerate(NAMES):
        path = tmp_path / f"{number} {name.replace('/', '').replace(chr(0), '')}.png"
        Image.effect_noise((40, 40), 90).convert("RGB").save(path)
        files.append(str(path))
    assert main(["predict", str(model), *files, "--top", str(CLASSES)]) == 0
    shown = capfd.readouterr()
    nothing_hidden(shown.out.replace("\n", "") + shown.err.replace("\n", ""))
    for name in (*NAMES[:CLASSES], *(Path(file).name for file in files)):
        assert one_line(name) in shown.out, name
    assert main(["predict", str(model), *files, "--top", str(CLASSES), "--json"]) == 0
    predictions = json.loads(capfd.readouterr().out)["predictions"]
    assert {row["label"] for row in predictions[0]["top"]} == set(NAMES[:CLASSES])
    assert [Path(each["image"]).name for each in predictions] == [Path(f).name for f in files]


def test_class_folders_may_have_any_name(tmp_path: Path) -> None:
    possible = [name.replace("/", "").replace("\0", "") for name in NAMES]
    for split in ("train", "test"):
        for name in possible:
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / split / name / "1.png")
    assert set(open_dataset(str(tmp_path), "test").classes) == set(possible)


@pytest.mark.parametrize("name", NAMES)
def test_a_message_is_one_line_that_hides_nothing(name: str) -> None:
    line = UserError(f"no '{name}'", where=name, remedy=f"give {name}").line()
    nothing_hidden(line)
    assert "\n" not in line


def test_reports_show_names_as_text() -> None:
    results = [
        documents.result(model=name, against="mobilevit_xs", runtime=f"r{number}")
        for number, name in enumerate(NAMES)
    ]
    document = documents.document(*results)
    page = as_html([document])
    assert visible(page) == page
    text = Text(page).text
    for name in NAMES:
        assert " ".join(visible(name).split()) in text, name
    lines = as_markdown([document]).splitlines()
    assert visible("\n".join(lines)) == "\n".join(lines)
    assert not any("<" in line for line in lines)
    table = [line for line in lines if re.match(r"\| r\d", line)]
    assert len(table) == len(NAMES)
    for row, name in zip(table, NAMES, strict=True):
        assert markdown(name) in row
        assert row.replace("\\\\", "").replace("\\|", "").count("|") == lines[2].count("|")


def test_text_of_markdown_is_the_name_again() -> None:
    assert markdown("[a](b) | <i>") == r"\[a\](b) \| &lt;i&gt;"
    assert markdown("lolvit_xx.digits, _em_ a_ *b* `c`") == (
        r"lolvit_xx.digits, \_em\_ a\_ \*b\* \`c\`"
    )
    for name in NAMES:
        plain = html.unescape(markdown(name).replace("\\\\", "\0").replace("\\", ""))
        expected = " ".join(visible(name).split())
        assert plain.replace("\0", "\\").replace("\\x", "x") == expected.replace("\\x", "x"), name


def test_the_page_of_a_browser_gets_names_as_json_alone(model: Path, tmp_path: Path) -> None:
    hostile = model.rename(tmp_path / "m '\"<b>")
    prepared = open_folder(hostile)
    models = ServedModels([(NAMES[1], prepared)])
    job = json.loads(job_files(models, [], None, None)["job.json"])
    assert job["models"][0]["name"] == NAMES[1]
    (manifest,) = (c for n, c in models.files().items() if n.endswith(MANIFEST_NAME))
    assert isinstance(manifest, bytes)
    served = json.loads(manifest)
    assert served["labels"] == list(NAMES[:CLASSES])
    for name, content in page_files().items():
        data = content if isinstance(content, bytes) else Path(content).read_bytes()
        if name.endswith((".js", ".html")):
            assert b"innerHTML" not in data and b"insertAdjacentHTML" not in data, name


@pytest.mark.parametrize("name", NAMES)
def test_a_string_of_kotlin_ends_where_it_should(name: str) -> None:
    literal = kotlin_string(name)
    assert literal.isascii() and "\n" not in literal
    inner = literal[1:-1]
    place = 0
    while place < len(inner):
        assert inner[place] not in '"$', literal
        if inner[place] == "\\":
            assert inner[place + 1] in '"\\$bnrtu', literal
            place += 1
        place += 1
    assert json.loads(literal.replace("\\$", "$")) == name


def test_packaging_takes_only_plain_names_for_a_folder(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app/src/main").mkdir(parents=True)
    (tmp_path / "app/build.gradle.kts").touch()
    for name in NAMES:
        arguments = ["package", str(model), "--android", str(tmp_path / "app"), "--name"]
        assert main([*arguments, name.replace("\0", "")]) == 2
        assert len(capfd.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "app/src/main/assets").exists()


def test_a_card_s_command_is_one_line_whatever_the_data_are_called() -> None:
    from lolvit_training.card import quoted_line

    for name in NAMES:
        line = quoted_line(name)
        assert "\n" not in line
        echoed = subprocess.run(
            ["bash", "-c", f"printf %s {line}"], capture_output=True, text=True, check=True
        )
        assert echoed.stdout == " ".join(visible(name).split())
        assert shlex.split(line) == [echoed.stdout]
