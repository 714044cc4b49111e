"""Execute the code blocks of docs/tutorials and of OTHERS: `python -m tests.tutorials.pages
[--write] [PAGE…]` prints what they gave as JSON; with `--write` it puts the real outputs into the
pages.

Each page has a folder of its own, in which its blocks are run in order:

- `sh`: a line that begins with `lolvit` is a command of this checkout, any other is the shell's;
- `python`: a script; if its first line is `# NAME.py`, it is saved under that name instead;
- `text`: what the block before it printed, on a terminal of 80 columns; `…` for lines left out.

HTML comments before a block, which readers don't see:

- `<!-- test: OLD => NEW -->`: the tests run NEW in place of OLD, which takes less time;
- `<!-- varies -->`: what the block prints differs between runs and is not compared;
- `<!-- exit: 1 -->`: the block's last command ends with this code;
- `<!-- first: COMMAND -->`: run in the shell before the block, to make what a reader has;
- `<!-- not run: REASON -->`: the block is left out.

Commands run in forks of one process that has loaded torch and what exports use: alone, each would
take seconds for it.
"""

from __future__ import annotations

import importlib
import json
import os
import pty
import re
import resource
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.processes import read_to_end

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "tutorials"
# Pages that are no tutorials, whose blocks are run too, by their names here.
OTHERS = {"README": ROOT / "README.md", "any-model": ROOT / "docs" / "any-model.md"}
PACKAGES = ("", "data", "training", "export", "runtimes", "benchmarks")
COLUMNS = 80
# Once, for all forks; nothing of this repository, of which a page may have a tree of its own.
LOADED = (
    "onnx", "onnxruntime", "onnxscript", "skimage.io", "timm", "torch.export", "torch.onnx",
    "torch._dynamo", "torchvision",
)  # fmt: skip
_BLOCK = re.compile(r"((?:^<!-- .*? -->\n)*)^```(sh|python|text)\n(.*?)^```$", re.M | re.S)
_FILE = re.compile(r"# ([\w/]+\.py)\n")


@dataclass
class Block:
    """A block, how it is run, and what came of it; `shown`: what the page says it prints."""

    language: str
    text: str
    exit: int = 0
    compared: bool = True
    first: tuple[str, ...] = ()
    shown: str | None = None
    printed: str = ""
    code: int | None = None
    seconds: float = 0.0
    processor_s: float = 0.0


@dataclass
class Page:
    """A page's executable blocks, in order."""

    path: Path
    blocks: list[Block] = field(default_factory=list)


def names() -> list[str]:
    """Return the names of the tutorials."""
    return sorted(path.stem for path in FOLDER.glob("[0-9]*.md"))


def read(name: str, *, full: bool = False) -> Page:
    """Return a page's blocks: as tests run them, or in full."""
    page = Page(OTHERS.get(name, FOLDER / f"{name}.md"))
    for comments, language, text in _BLOCK.findall(page.path.read_text()):
        if language == "text":
            page.blocks[-1].shown = text
            continue
        if "<!-- not run: " in comments:
            continue
        block = Block(language, text, compared="<!-- varies -->" not in comments)
        block.first = tuple(re.findall(r"<!-- first: (.*?) -->", comments))
        if found := re.search(r"<!-- exit: (\d+) -->", comments):
            block.exit = int(found[1])
        for old, new in re.findall(r"<!-- test: (.*?) => (.*?) -->", comments):
            assert old in text, f"{name}: no '{old}' to replace"
            if not full:
                block.text, block.compared = block.text.replace(old, new), False
        page.blocks.append(block)
    return page


def run(page: Page, folder: Path, tree: Path) -> None:
    """Run a page's blocks in a folder, with the packages of `tree`, until one does not end as it
    should."""
    for block in page.blocks:
        start, used = time.monotonic(), _processor_s()
        block.code, block.printed = _run(block, folder, tree)
        block.seconds, block.processor_s = time.monotonic() - start, _processor_s() - used
        if block.code != block.exit:
            return


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(block: Block, folder: Path, tree: Path) -> tuple[int, str]:
    for line in block.first:
        code, printed = _shell(line, folder)
        if code != 0:
            return code, printed
    if block.language == "python":
        if named := _FILE.match(block.text):
            place = _place(named[1], folder, tree)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text)
            return 0, ""
        script = folder / ".script.py"
        script.write_text(block.text)
        return _forked(lambda: _script(script), folder, tree)
    printed = ""
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith("lolvit "):
            arguments = shlex.split(line, comments=True)[1:]
            code, text = _forked(lambda given=arguments: _command(given), folder, tree)  # type: ignore[misc]
        else:
            code, text = _shell(line, folder)
        printed += text
        if code != 0:
            return code, printed
    return 0, printed


def _shell(line: str, folder: Path) -> tuple[int, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", line], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PATH": path},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def _place(name: str, folder: Path, tree: Path) -> Path:
    """Return where a file of the reader is: one of the repository in its tree."""
    return tree / name if name.startswith("export/") else folder / name


def _script(path: Path) -> int:
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path)]
    runpy.run_path(str(path), run_name="__main__")
    return 0


def _command(arguments: list[str]) -> int:
    from lolvit.cli import main

    return main(arguments)


def _forked(call: Callable[[], int], folder: Path, tree: Path) -> tuple[int, str]:
    """Run a function in a fork: standard output is a terminal, standard error a file, of which the
    error line is taken. Return the exit code and what was printed."""
    reading, writing = pty.openpty()
    with tempfile.TemporaryFile("w+") as errors:
        pid = os.fork()
        if pid == 0:
            _child(call, folder, tree, writing, errors.fileno())
        os.close(writing)
        text = read_to_end(reading).decode().replace("\r", "")
        _, status = os.waitpid(pid, 0)
        errors.seek(0)
        said = errors.read()
    code = os.waitstatus_to_exitcode(status)
    lines = [line for line in said.splitlines() if line.startswith("lolvit: ")]
    if code not in (0, 1):
        lines = said.splitlines()[-30:]
    return code, text + "".join(f"{line}\n" for line in lines)


def _child(call: Callable[[], int], folder: Path, tree: Path, out: int, errors: int) -> None:
    code = 99
    try:
        paths = [str(tree / package) for package in PACKAGES]
        os.environ.update(
            PYTHONPATH=os.pathsep.join(paths), TERM="dumb", COLUMNS=str(COLUMNS), LINES="50"
        )
        sys.path[:0] = paths
        os.chdir(folder)
        os.dup2(out, 1)
        os.dup2(errors, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        code = call()
    except BaseException:  # noqa: BLE001 - the fork ends here
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tree(scratch: Path) -> Path:
    """Return a copy of the packages, to which a tutorial may add a file."""
    ignored = shutil.ignore_patterns("__pycache__", "tests", ".git", "node_modules")
    for package in ("lolvit", *PACKAGES[1:]):
        shutil.copytree(ROOT / package, scratch / package, ignore=ignored)
    return scratch


def with_outputs(page: Page) -> str:
    """Return a page's text with what its blocks printed in place of its `text` blocks."""
    blocks = iter(page.blocks)
    current: Block | None = None

    def put(match: re.Match[str]) -> str:
        nonlocal current
        if "<!-- not run: " in match[1]:
            return match[0]
        if match[2] != "text":
            current = next(blocks)
            return match[0]
        assert current is not None
        printed = "\n".join(line.rstrip() for line in current.printed.strip("\n").splitlines())
        return f"{match[1]}```text\n{printed}\n```"

    return _BLOCK.sub(put, page.path.read_text())


def main(arguments: list[str]) -> None:
    """Run pages, and print the blocks of each as JSON, or write their outputs into them."""
    write = "--write" in arguments
    chosen = [name for name in arguments if not name.startswith("--")]
    chosen = chosen or [*names(), *OTHERS]
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    for name in LOADED:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    found = {}
    for name in chosen:
        page = read(name, full=write)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "work"
            folder.mkdir()
            adds = any(
                (named := _FILE.match(b.text)) and named[1].startswith("export/")
                for b in page.blocks
            )
            run(page, folder, _tree(Path(scratch) / "tree") if adds else ROOT)
        found[name] = [asdict(block) for block in page.blocks]
        seconds = sum(block.seconds for block in page.blocks)
        processor = sum(block.processor_s for block in page.blocks)
        line = f"{name}: {len(page.blocks)} blocks, {seconds:.0f} s, processor {processor:.0f} s"
        print(line, file=sys.stderr, flush=True)
        if write and all(block.code == block.exit for block in page.blocks):
            page.path.write_text(with_outputs(page))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
