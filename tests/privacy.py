"""Run every command and every runtime under strace, and list the sockets and the files that each
uses: `python -m tests.privacy` (`make privacy`) prints a table in Markdown.

Each command runs in a folder of its own, with a home and a folder of temporary files in it. Files
that it opens to write, renames or creates elsewhere are listed, and what lies below the home at its
end, but for the toolkit's cache. A socket has its family, and its peer where the call names one.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lolvit.cache import cache_folder
from lolvit_runtimes.table import RUNTIMES
from tests.data.images import write_folder

CALLS = "network,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlinkat"
# Where any process may write: devices, its own state, memory that it shares with its children.
_ANYWHERE = ("/dev/", "/proc/", "/sys/", "/memfd:")
_OPENED = re.compile(
    r"\b(?:openat|open|creat)\(.*\bO_(?:WRONLY|RDWR|CREAT).* = \d+<(.+?)>(?:\(deleted\))?$"
)
_CREATED = re.compile(r"(?:\d+ +)?(?:mkdir|rename|link|symlink)(?:at2?)?\(")
_LAST_PATH = re.compile(r'(?:<([^<>]*)>, )?"((?:[^"\\]|\\.)*)"[^"<]*\) = 0$')
_UNFINISHED, _RESUMED = " <unfinished ...>", re.compile(r"^(\d+ +)?<\.\.\. \w+ resumed>")
_FAMILY = re.compile(r"\bsa_family=AF_(\w+)")
_SOCKET = re.compile(r"\bsocket\(AF_(\w+)")
_ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
_PORT = re.compile(r"sin6?_port=htons\((\d+)\)")
_UNIX = re.compile(r'sun_path=(@?"[^"]*")')
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\(")
# Chromium finds out so whether there is IPv6: it connects a datagram socket, and sends nothing.
_SENDS_NOTHING = {"connect INET6 2001:4860:4860::8888:443"}
# Linux passes messages of its own over these, to no other machine.
_KERNEL = {"NETLINK", "UNSPEC"}


@dataclass(frozen=True)
class Trace:
    """What a command did: distinct sockets, such as `bind INET 127.0.0.1`, and files."""

    name: str
    exit_code: int
    sockets: tuple[str, ...]
    outside: tuple[str, ...]  # paths written outside of the command's folder
    in_home: tuple[str, ...]  # files below its home, but for the toolkit's cache
    error: str = ""

    @property
    def beyond_this_machine(self) -> tuple[str, ...]:
        """The sockets whose address is of a network other than this machine's own."""
        return tuple(s for s in self.sockets if not _is_local(s))


def environment_in(folder: Path) -> dict[str, str]:
    """Return an environment with a home, a cache and temporary files in a folder."""
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir(exist_ok=True)
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {"HOME": str(home), "TMPDIR": str(temporary)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # else Python caches its modules beside them
    for name in (
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "ORT_DISABLE_TELEMETRY"),
        *("HF_HUB_DISABLE_TELEMETRY", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"),
    ):
        environment.pop(name, None)
    return environment


def traced(
    folder: Path, *arguments: str | Path, name: str = "", interrupt_s: float | None = None
) -> Trace:
    """Run a command and its children under strace in a folder, and return what it did.
    `interrupt_s`: send SIGINT after so many seconds, to a command that runs until Ctrl-C."""
    log = folder / "trace"
    command = ["strace", "-f", "--seccomp-bpf", "-y", "-qq", "-s", "400", "-e", f"trace={CALLS}"]
    process = subprocess.Popen(
        [*command, "-o", log, sys.executable, "-m", "lolvit", *map(str, arguments)],
        cwd=folder, env=environment_in(folder), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    if interrupt_s is not None:
        time.sleep(interrupt_s)
        for child in _children(process.pid):
            os.kill(child, signal.SIGINT)
    _, said = process.communicate()
    lines = whole_calls(log.read_text(errors="replace").splitlines())
    code = process.returncode
    return Trace(
        name or " ".join(map(str, arguments)), code, sockets(lines), written(lines, folder),
        in_home(folder), said.strip().splitlines()[-1] if code and said.strip() else "",
    )  # fmt: skip


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def whole_calls(lines: Iterable[str]) -> list[str]:
    """Return lines of strace with each call in one: where others came between, it has two."""
    begun: dict[str, str] = {}
    calls = []
    for line in lines:
        if line.endswith(_UNFINISHED):
            begun[line.partition(" ")[0]] = line.removesuffix(_UNFINISHED)
        elif (end := _RESUMED.match(line)) is not None:
            calls.append(begun.pop(line.partition(" ")[0], "") + line[end.end() :])
        else:
            calls.append(line)
    return calls


def sockets(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct sockets in lines of strace: those whose calls name an address, and
    families of which there are others only."""
    found: set[str] = set()
    created: set[str] = set()
    for line in lines:
        if (made := _SOCKET.search(line)) is not None:
            created.add(made[1])
        family, call = _FAMILY.search(line), _CALL.match(line)
        if family is None or call is None or family[1] in _KERNEL:
            continue
        if call[1] not in ("connect", "bind", "sendto", "sendmsg", "sendmmsg"):
            continue  # the others only tell an address
        found.add(f"{call[1]} {family[1]} {_peer(line)}".strip())
    named = {entry.split()[1] for entry in found}
    return (*sorted(found), *sorted(f"socket {f}" for f in created - named - _KERNEL))


def _peer(line: str) -> str:
    if (path := _UNIX.search(line)) is not None:
        return re.sub(r"[0-9A-Fa-f-]{6,}|\d+", "N", path[1].replace('"', ""))
    address, port = _ADDRESS.search(line), _PORT.search(line)
    host = next(filter(None, address.groups()), "") if address is not None else ""
    fixed = port is not None and int(port[1]) < 1024 and port[1] != "0"
    return f"{host}:{port[1]}" if fixed and port is not None else host


def _is_local(entry: str) -> bool:
    """Whether a socket has no address of another machine: one that is only created has none."""
    call, family, *peer = entry.split()
    host = peer[0] if peer else ""
    return call == "socket" or family == "UNIX" or host.startswith(("127.", "::1"))


def written(lines: Iterable[str], folder: Path) -> tuple[str, ...]:
    """Return the paths outside of a folder that lines of strace open to write or create."""
    found: set[str] = set()
    for line in lines:
        if (opened := _OPENED.search(line)) is not None:
            found.add(opened[1])
        elif _CREATED.match(line) and (made := _LAST_PATH.search(line)) is not None:
            found.add(os.path.join(made[1] or folder, made[2]))
    inside = (folder, folder.resolve())
    return tuple(
        sorted(
            path for path in found
            if not path.startswith(_ANYWHERE) and path.startswith("/")
            and not any(Path(os.path.normpath(path)).is_relative_to(one) for one in inside)
        )
    )  # fmt: skip


def in_home(folder: Path) -> tuple[str, ...]:
    """Return what lies below a folder's home, but for the toolkit's cache."""
    home = folder / "home"
    files = (str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    return tuple(sorted(path for path in files if not path.startswith(".cache/lolvit/")))


@dataclass(frozen=True)
class Command:
    """A command to trace; one that runs until Ctrl-C gets SIGINT after `interrupt_s` seconds."""

    name: str
    arguments: Sequence[str]
    interrupt_s: float | None = None


PHOTO = "data/test/0/0000.png"
_WEIGHTS = ("lolvit_xx", "--weights", "lolvit_xx.digits", "--size", "64")
FORMATS = {"onnx": "fp32", "tflite": "fp32", "coreml": "fp32", "executorch": "fp32",
           "torch": "fp32", "coreai": "fp32", "qnn": "fp16"}  # fmt: skip
_ONLY_ON_A_MAC = {"coreml", "coreml-cpu", "coreml-gpu", "coreml-ane"}


def _model(format: str) -> str:
    return f"out-{format}/lolvit_xx-64x64"


MODEL = _model("onnx")
_BENCH = ("bench", MODEL, "--against", MODEL, "--profile", "quick", "--threads", "1")
# `push` and `setup` name a network, and are left out.
COMMANDS = (
    Command("models", ["models"]),
    Command("doctor", ["doctor"]),
    Command("devices", ["devices"]),
    *(Command(f"export --to {name}", ["export", *_WEIGHTS, "--to", name, "--precision", precision,
                                      "--out", f"out-{name}"])
      for name, precision in FORMATS.items()),
    Command("export --precision int8", ["export", *_WEIGHTS, "--to", "onnx,tflite", "--precision",
                                        "int8", "--calibrate", "digits", "--out", "quantized"]),
    Command("export of a timm model", ["export", "timm/test_resnet", "--size", "64", "--to", "onnx",
                              "--out", "out-timm"]),
    Command("verify", ["verify", MODEL]),
    Command("verify --device arm64", ["verify", MODEL, "--device", "arm64"]),
    Command("lint", ["lint", f"{MODEL}/model-fp32.onnx", "--target", "ort-cpu"]),
    *(Command(f"predict --runtime {name}", ["predict", _model(RUNTIMES[name].format), PHOTO,
                                             "--runtime", name])
      for name in RUNTIMES if name not in _ONLY_ON_A_MAC),
    Command("package", ["package", MODEL, "--android", "app"]),
    Command("browse", ["browse", MODEL], interrupt_s=12),
    Command("bench", [*_BENCH, "--runtime", "ort", "--out", "bench"]),
    Command("bench --device browser", [*_BENCH, "--device", "browser", "--runtime", "ort-web-wasm",
                                       "--out", "bench-browser"]),
    Command("compare", ["compare", "bench/result.json", "bench/result.json"]),
    Command("report", ["report", "bench/result.json", "--out", "report.html"]),
    Command("train", ["train", "--data", "data", "--model", "lolvit_xx", "--size", "32",
                      "--epochs", "1", "--batch-size", "8", "--out", "run"]),
    Command("evaluate", ["evaluate", MODEL, "--data", "digits", "--limit", "20"]),
    Command("accuracy", ["accuracy", "lolvit_xx", "--against", "mobilevit_xxs", "--data", "data",
                         "--seeds", "1", "--epochs", "1", "--size", "32", "--out", "accuracy"]),
    Command("save", ["save", "run/model.safetensors", "--out", "saved"]),
)  # fmt: skip


def prepare(folder: Path) -> None:
    """Lay out a data set and an app, and what `lolvit setup` has put into the cache."""
    write_folder(folder / "data", 16, 4)
    (folder / "app/src/main").mkdir(parents=True)
    (folder / "app/build.gradle.kts").touch()
    cache = folder / "home/.cache/lolvit"
    cache.mkdir(parents=True)
    for name in ("arm64", "browser"):  # links: they are only read
        if (cache_folder() / name).exists():
            (cache / name).symlink_to(cache_folder() / name)


def _cell(entries: Sequence[str], most: int = 6) -> str:
    shown = [entry.replace("|", "\\|") for entry in entries[:most]]
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return (", ".join(shown) or "-") + more


def row(trace: Trace) -> str:
    """Return a row of the table."""
    ended = "" if trace.exit_code in (0, 130) else f" (exit code {trace.exit_code}: {trace.error})"
    home = [f"~/{path}" for path in trace.in_home]
    cells = (
        f"`{trace.name}`{ended}", _cell(trace.beyond_this_machine),
        _cell([each for each in trace.sockets if each not in trace.beyond_this_machine]),
        _cell([*trace.outside, *home]),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Print the table; the exit code is 1 if a command names another machine or writes outside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="beginnings of names of commands")
    parser.add_argument("--keep", type=Path, help="folder to work in, which is kept")
    options = parser.parse_args()
    if shutil.which("strace") is None:
        parser.error("strace is not installed")
    only = tuple(options.only) if options.only else ("",)
    found = []
    with tempfile.TemporaryDirectory(prefix="lolvit-privacy-") as name:
        folder = (options.keep or Path(name)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "data").exists():
            prepare(folder)
        print("| command | to other machines | on this machine | written outside |")
        print("|---|---|---|---|", flush=True)
        for command in COMMANDS:
            if not command.name.startswith(only):
                continue
            trace = traced(
                folder, *command.arguments, name=command.name, interrupt_s=command.interrupt_s
            )
            if options.keep:
                (folder / "trace").rename(folder / f"trace-{command.name.replace(' ', '-')}")
            found.append(trace)
            print(row(trace), flush=True)
    wrong = [
        trace.outside or trace.in_home or set(trace.beyond_this_machine) - _SENDS_NOTHING
        for trace in found
    ]
    return 1 if any(wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
