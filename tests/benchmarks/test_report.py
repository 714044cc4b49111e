"""Pages, Markdown and tables say what has to be said."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from lolvit.manifest import Gate, read_manifest
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.html import as_html
from lolvit_benchmarks.reporting.table import as_markdown, show
from lolvit_benchmarks.results.document import Document, Failure, Quality, Speedup
from lolvit_benchmarks.results.files import save
from tests.benchmarks import documents
from tests.conftest import Run

EVEN = Quality(state="fair", half_width=0.03, winner=None, reasons=(), findings=())
VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects text and what is loaded from elsewhere; checks that every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loaded += [str(given[a]) for a in ("src", "href", "data", "srcset") if a in given]
        self.ids += [str(given["id"])] if "id" in given else []
        if tag in ("script", "iframe", "object", "embed", "link"):
            self.loaded.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}>"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def terminal(document: Document) -> str:
    out = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(document, out)
    return out.export_text()


@pytest.fixture(scope="module")
def page() -> Page:
    """The page of two results."""
    return Page(
        as_html([documents.document(documents.result(), documents.result(runtime="litert"))])
    )


def test_the_page_is_well_formed_and_loads_nothing(page: Page) -> None:
    assert page.open == []
    assert all(reference.startswith("#") for reference in page.loaded), page.loaded


def test_plots_refer_to_what_the_page_holds_and_ids_do_not_clash(page: Page) -> None:
    assert {reference.removeprefix("#") for reference in page.loaded} <= set(page.ids)
    assert len(page.ids) - len(set(page.ids)) <= page.ids.count("figure_1") * 60
    definitions = [name for name in page.ids if re.fullmatch(r"[mp][0-9a-f]{10}", name)]
    assert len(definitions) == len(set(definitions))


def test_the_page_says_the_ratio_in_a_sentence_with_both_times(page: Page) -> None:
    assert (
        "The speedup of lolvit_x over mobilevit_xs is 8.0x in ONNX Runtime with 1 thread"
        in page.text
    )
    assert "3.00 ms against 24.0 ms" in page.text
    assert "95 % interval" in page.text


def test_the_page_says_that_weights_are_untrained_and_what_could_not_be_read(page: Page) -> None:
    assert "Weights are untrained." in page.text
    assert "temperature can't be read here" in page.text


def test_plots_take_the_colours_of_the_page() -> None:
    html = as_html([documents.document()])
    assert "var(--ink)" in html
    for svg in re.findall(r"<svg .*?</svg>", html, re.DOTALL):
        colours = set(re.findall(r"(?:fill|stroke): ?(#[0-9a-f]{3,6})", svg))
        assert colours == set(), colours


def test_every_plot_comes_wide_and_narrow_with_a_label(page: Page) -> None:
    html = as_html([documents.document()])
    assert html.count('<div class="wide"><svg role="img" aria-label=') == 3
    assert html.count('<div class="narrow"><svg role="img" aria-label=') == 3


def test_a_page_is_the_same_each_time() -> None:
    assert as_html([documents.document()]) == as_html([documents.document()])


def test_an_invalid_ratio_is_shown_everywhere_and_names_no_winner() -> None:
    document = documents.document(documents.result(quality=documents.INVALID))
    for text in (Page(as_html([document])).text, as_markdown([document]), terminal(document)):
        assert "INVALID" in text
        assert "cut short by a cat" in text
        assert "significant" not in text


def test_findings_are_shown_everywhere_after_ratio_interval_and_quality() -> None:
    document = documents.document(documents.disturbed(documents.result()))
    for text in (Page(as_html([document])).text, as_markdown([document]), terminal(document)):
        places = [text.index(part) for part in ("8.0x", "to 8.0", "precise, ±", "a busy neighbour")]
        assert places == sorted(places)
        assert "INVALID:" not in text


def test_untrained_weights_are_shown_everywhere() -> None:
    document = documents.document()
    for text in (Page(as_html([document])).text, as_markdown([document]), terminal(document)):
        assert "Weights are untrained." in text


def test_trained_weights_bring_no_such_notice() -> None:
    document = documents.document(documents.result(trained=True))
    for text in (as_markdown([document]), terminal(document)):
        assert "untrained" not in text


def test_failures_and_interruption_are_shown_everywhere() -> None:
    failure = Failure(runtime="litert", precision="fp32", threads=1, what="crashed with SIGSEGV")
    document = documents.document(failures=(failure,), state="interrupted")
    for text in (Page(as_html([document])).text, as_markdown([document]), terminal(document)):
        assert "crashed with SIGSEGV" in text
        assert "nterrupted" in text


def test_no_winner_is_named_where_there_is_none() -> None:
    even = documents.result(quality=EVEN, speedup=Speedup(ratio=1.01, low=0.98, high=1.04))
    document = documents.document(even)
    assert "no significant difference from mobilevit_xs" in Page(as_html([document])).text
    assert "lolvit_x and mobilevit_xs do not differ significantly" in as_markdown([document])
    assert "no winner" in terminal(document)


def test_a_document_without_results_makes_a_page() -> None:
    document = documents.document(
        failures=(Failure(runtime="ort", precision="fp32", threads=1, what="out of memory"),)
    ).model_copy(update={"results": ()})
    assert "out of memory" in Page(as_html([document])).text


def test_names_are_escaped_in_text_and_plots() -> None:
    document = documents.document(documents.result(model="<b>$x$</b>&"))
    page = Page(as_html([document]))
    assert page.open == []
    assert "The speedup of <b>$x$</b>& over mobilevit_xs is 8.0x" in page.text


def test_several_peers_get_a_plot_against_parameters() -> None:
    peers = [documents.result(against=name) for name in ("one", "two")]
    assert as_html([documents.document(*peers)]).count("latency against parameters") == 2
    assert "latency against parameters" not in as_html([documents.document(peers[0])])


def test_the_page_shows_the_gates_of_a_manifest(fast: Path) -> None:
    manifest = read_manifest(fast)
    gates = (
        Gate(name="snr_db", value=118.6, threshold=100, passed=True),
        Gate(name="top1", value=0.5, threshold=1, passed=False),
    )
    artifact = manifest.artifacts[0].model_copy(update={"gates": gates})
    manifest = manifest.model_copy(update={"artifacts": (artifact,)})
    text = Page(as_html([documents.document()], [manifest])).text
    assert "snr_db 118.6 100 passed" in text
    assert "top1 0.5 1 FAILED" in text


def test_markdown_is_one_table_whose_rows_have_as_many_cells() -> None:
    text = as_markdown([documents.document(documents.result(model="a|b"), documents.result())])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(words.HEADINGS) + 1}


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.123"), (3.214, "3.21"), (27.13, "27.1"), (271.4, "271")]
)
def test_milliseconds_keep_three_digits(value: float, text: str) -> None:
    assert words.milliseconds(value) == text


@pytest.mark.parametrize(("ratio", "text"), [(0.97, "0.97x"), (8.24, "8.2x"), (240.6, "241x")])
def test_ratios_keep_their_order_of_magnitude(ratio: float, text: str) -> None:
    assert words.factor(ratio) == text


def test_the_command_writes_page_and_markdown(
    run_lolvit: Run, document: Document, tmp_path: Path
) -> None:
    save(document, tmp_path / "r.json")
    done = run_lolvit("report", tmp_path / "r.json", "--out", tmp_path / "page.html",
                      "--markdown", tmp_path / "t.md")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "8.0x" in Page((tmp_path / "page.html").read_text()).text
    assert "8.0x" in (tmp_path / "t.md").read_text()


def test_the_command_never_overwrites_a_result(
    run_lolvit: Run, document: Document, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    save(document, path)
    before = path.read_bytes()
    done = run_lolvit("report", path, "--out", path)
    assert done.returncode == 2
    assert "would overwrite a result file" in done.stderr
    assert path.read_bytes() == before


def test_the_command_refuses_another_schema(run_lolvit: Run, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"kind": "lolvit-bench", "schema_version": 3}')
    done = run_lolvit("report", tmp_path / "r.json", "--out", tmp_path / "page.html")
    assert done.returncode == 2
    assert "schema version 3" in done.stderr
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (7.1, 7.4, "7.1x to 7.4x"),
        (7.98, 8.02, "7.98x to 8.02x"),
        (8.001, 8.003, "8.001x to 8.003x"),
        (0.991, 1.012, "0.99x to 1.01x"),
        (2.0, 2.0, "2.000x to 2.000x"),
    ],
)
def test_the_bounds_of_an_interval_are_told_apart(low: float, high: float, shown: str) -> None:
    assert words.interval(Speedup(ratio=(low * high) ** 0.5, low=low, high=high)) == shown
