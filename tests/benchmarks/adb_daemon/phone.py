"""A simulated phone: files below a folder, settings, sensors, an app that really runs artifacts,
and the faults of a real phone."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.adb_daemon import app

Say = Callable[[str], None]
# The app's entry point: what it is asked, and where its statuses go; gives its results.
Instrument = Callable[["Phone", dict[str, str], Say], dict[str, str]]

ROOT = ("/data/local/tmp", "/sys", "/storage/emulated/0/Android/data")
_FULL = "No space left on device"
_COMMAND = re.compile(r"(?P<line>.*); echo lolvit-exit:\$\?", re.DOTALL)


@dataclass
class Faults:
    """What goes wrong, and when. `lose_at`: the cable is lost at this run of the app (from 1) or
    call of a program; `back`: and it is plugged in again."""

    lose_at: int | None = None
    back: bool = True
    garbage: bool = False
    hot_after: int | None = None
    free_kb: int = 20_000_000
    mute: frozenset[str] = frozenset()  # commands that print nonsense


@dataclass
class Phone:
    """The state of a phone, for tests to look at."""

    root: Path
    faults: Faults = field(default_factory=Faults)
    installed: bool = True
    awake: bool = False
    temperature_c: float = 29.5
    settings: dict[str, str] = field(default_factory=lambda: {"global/low_power": "0"})
    properties: dict[str, str] = field(
        default_factory=lambda: {
            "ro.product.manufacturer": "Test",
            "ro.product.model": "Phone 1",
            "ro.build.version.sdk": "34",
            "ro.build.version.release": "14",
            "ro.build.fingerprint": "test/phone/1:14/AB1/1:user/release-keys",
            "ro.soc.model": "TS1",
            "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a",
        }
    )
    commands: list[list[str]] = field(default_factory=list)
    stopped_apps: list[str] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)
    runs: int = 0
    cut_cable: Callable[..., None] = lambda **_: None
    instrument: Instrument = app.instrument
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        for folder in ROOT:
            self.path(folder).mkdir(parents=True)
        for core, khz in enumerate((1_800_000, 1_800_000, 2_800_000)):
            folder = self.path(f"/sys/devices/system/cpu/cpu{core}/cpufreq")
            folder.mkdir(parents=True)
            (folder / "scaling_governor").write_text("schedutil\n")
            (folder / "scaling_max_freq").write_text(f"{khz}\n")

    def path(self, remote: str) -> Path:
        """Return where a path of the phone lies here."""
        return self.root / remote.lstrip("/")

    def files(self) -> list[str]:
        """Return every file and folder that is not the system's."""
        found = [self.path(folder).rglob("*") for folder in (ROOT[0], ROOT[2])]
        return sorted(str(path.relative_to(self.root)) for group in found for path in group)

    def take_file(self, remote: str, content: bytes, mode: int) -> str | None:
        """Take a file that is pushed; return why not."""
        if self.faults.free_kb * 1024 < len(content):
            return f"couldn't write file: {_FULL}"
        path = self.path(remote)
        if not path.parent.is_dir():
            return f"couldn't create file: No such file or directory: {remote}"
        path.write_bytes(content)
        path.chmod(mode & 0o777)
        self.pushed.append(remote)
        return None

    def run(self, command: str, out: Say, err: Say) -> int:
        """Run a shell command as the harness writes it; return its exit code."""
        matched = _COMMAND.fullmatch(command)
        line = matched["line"] if matched else command
        words = shlex.split(line)
        self.commands.append(words)
        code = self._program(words, out, err)
        if matched:
            out(f"lolvit-exit:{code}\n")
            return 0
        return code

    def _program(self, words: list[str], out: Say, err: Say) -> int:
        name, *arguments = words
        if name in self.faults.mute:
            out("\x00\xff� nonsense: [[ }{ 1e999\n" * 3)
            return 0
        known = getattr(self, f"_{name}", None)
        if known is not None:
            return int(known(arguments, out, err) or 0)
        if self.path(name).is_file():
            return self._executable(name, arguments, out, err)
        err(f"/system/bin/sh: {name}: inaccessible or not found\n")
        return 127

    def _getprop(self, arguments: list[str], out: Say, err: Say) -> None:
        out("".join(f"[{key}]: [{value}]\n" for key, value in self.properties.items()))

    def _dumpsys(self, arguments: list[str], out: Say, err: Say) -> None:
        hot = self.faults.hot_after is not None and self.runs >= self.faults.hot_after
        celsius = 48.0 if hot else self.temperature_c
        match arguments:
            case ["battery"]:
                out("Current Battery Service state:\n  AC powered: false\n  USB powered: true\n"
                    f"  level: 80\n  scale: 100\n  temperature: {celsius * 10:.0f}\n")  # fmt: skip
            case ["thermalservice"]:
                out(f"Thermal Status: {2 if hot else 0}\nCurrent temperatures from HAL:\n"
                    f"\tTemperature{{mValue={celsius + 2}, mType=3, mName=skin, mStatus=0}}\n"
                    "Current cooling devices from HAL:\n")  # fmt: skip
            case ["power"]:
                out(f"  mWakefulness={'Awake' if self.awake else 'Asleep'}\n")

    def _ls(self, arguments: list[str], out: Say, err: Say) -> None:
        out("".join(f"{path.name}\n" for path in sorted(self.path(arguments[-1]).iterdir())))

    def _grep(self, arguments: list[str], out: Say, err: Say) -> None:
        paths = [word for word in arguments if word.startswith("/")]
        out("".join(f"{path}:{self.path(path).read_text()}" for path in paths))

    def _df(self, arguments: list[str], out: Say, err: Say) -> None:
        free = self.faults.free_kb
        out("Filesystem       1K-blocks     Used Available Use% Mounted on\n"
            f"/dev/fuse        112000000 50000000  {free}  45% /storage/emulated\n")  # fmt: skip

    def _sha256sum(self, arguments: list[str], out: Say, err: Say) -> int:
        missing = 0
        for remote in arguments:
            path = self.path(remote)
            if path.is_file():
                out(f"{app.digest(path)}  {remote}\n")
            else:
                missing = 1
                err(f"sha256sum: {remote}: No such file or directory\n")
        return missing

    def _mkdir(self, arguments: list[str], out: Say, err: Say) -> None:
        self.path(arguments[-1]).mkdir(parents=True, exist_ok=True)

    def _chmod(self, arguments: list[str], out: Say, err: Say) -> None:
        self.path(arguments[1]).chmod(int(arguments[0], 8))

    def _rm(self, arguments: list[str], out: Say, err: Say) -> None:
        flag, *remote = arguments
        subprocess.run(["rm", flag, *(str(self.path(path)) for path in remote)], check=True)

    def _settings(self, arguments: list[str], out: Say, err: Say) -> None:
        match arguments:
            case ["get", space, key]:
                out(f"{self.settings.get(f'{space}/{key}', 'null')}\n")
            case ["put", space, key, value]:
                self.settings[f"{space}/{key}"] = value
            case ["delete", space, key]:
                self.settings.pop(f"{space}/{key}", None)

    def _input(self, arguments: list[str], out: Say, err: Say) -> None:
        self.awake = {"224": True, "223": False}[arguments[-1]]

    def _pkill(self, arguments: list[str], out: Say, err: Say) -> int:
        return 1

    def _pm(self, arguments: list[str], out: Say, err: Say) -> int:
        return 0 if self.installed else 1

    def _am(self, arguments: list[str], out: Say, err: Say) -> None:
        if arguments[0] == "force-stop":
            self.stopped_apps.append(arguments[1])
            return
        extras = dict(zip(arguments[4::3], arguments[5::3], strict=False))
        if extras["action"] == "run":
            self._count_run()
        try:
            answer = self.instrument(self, extras, out)
        except Exception as error:  # noqa: BLE001 - as the app reports it
            out(f"INSTRUMENTATION_RESULT: error={error}\nINSTRUMENTATION_CODE: 0\n")
            return
        results = "".join(f"INSTRUMENTATION_RESULT: {k}={v}\n" for k, v in answer.items())
        out(f"{results}INSTRUMENTATION_CODE: -1\n")

    def _executable(self, name: str, arguments: list[str], out: Say, err: Say) -> int:
        """Run a program that was pushed: here, a script in Python."""
        self._count_run()
        here = [word.replace(ROOT[0], str(self.path(ROOT[0]))) for word in arguments]
        done = subprocess.run(
            [sys.executable, str(self.path(name)), *here], capture_output=True, text=True
        )
        out(done.stdout)
        err(done.stderr)
        return done.returncode

    def _count_run(self) -> None:
        with self._lock:
            self.runs += 1
            lost = self.runs == self.faults.lose_at
        if lost:
            self.cut_cable(for_good=not self.faults.back)
