"""`lolvit doctor` says what is here and what is missing, and loads nothing heavy to find out."""

from __future__ import annotations

import importlib.util
import json
import py_compile
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from lolvit.cli import main
from lolvit_runtimes import probe
from lolvit_runtimes.table import RUNTIMES


@pytest.fixture
def fresh_versions():
    probe.installed.cache_clear()
    yield
    probe.installed.cache_clear()


def document(capfd) -> dict:
    assert main(["doctor", "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def test_every_runtime_is_listed_with_its_version(capfd):
    devices = {device["id"]: device for device in document(capfd)["devices"]}
    assert set(devices) == {*RUNTIMES, "adb"}
    assert devices["ort"] == {
        "id": "ort",
        "kind": "runtime",
        "ready": True,
        "reason": "ONNX Runtime, CPU",
        "version": version("onnxruntime"),
    }


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_missing_runtime_names_the_command_that_adds_it(name, monkeypatch):
    absent, real = RUNTIMES[name].modules[-1], importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda module: None if module == absent else real(module)
    )
    status = {status.id: status for status in probe.runtime_status()}[name]
    assert not status.ready
    assert (
        status.reason == f"{absent} is missing; run: pip install 'lolvit[{RUNTIMES[name].extra}]'"
    )


def test_core_ml_itself_needs_a_mac(monkeypatch):
    for system, ready in [("Linux", False), ("Darwin", True)]:
        monkeypatch.setattr("platform.system", lambda system=system: system)
        status = {status.id: status for status in probe.runtime_status()}["coreml"]
        assert status.ready == ready
        assert ("Mac" in status.reason) or ready


METADATA = [
    "numpy<3,>=2.0",
    "onnxruntime<2,>=1.24; extra == 'ort'",
    "lolvit[ort]; extra == 'bench'",
    'psutil>=7.0; extra == "bench"',
    "lolvit[bench,train]; extra == 'all'",
    "torch<2.14,>=2.13; python_version >= '3.11' and extra == 'train'",
]


def test_extras_come_from_the_metadata_and_include_one_another(monkeypatch, fresh_versions):
    def found(name: str) -> str:
        if name == "torch":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(probe, "requires", lambda name: METADATA)
    monkeypatch.setattr(probe, "version", found)
    extras = {extra.name: extra for extra in probe.extras()}
    assert list(extras) == ["ort", "bench", "all", "train"]
    assert extras["bench"].packages == {"onnxruntime": "1.0", "psutil": "1.0"}
    assert extras["all"].packages == {"onnxruntime": "1.0", "psutil": "1.0", "torch": None}
    assert [extras[name].ready for name in extras] == [True, True, False, False]
    assert extras["train"].command == "pip install 'lolvit[train]'"


def test_the_distributions_own_extras_are_listed(capfd):
    extras = {extra["name"]: extra for extra in document(capfd)["extras"]}
    assert {"ort", "litert", "export", "bench", "all"} <= set(extras)
    assert extras["ort"]["packages"] == {"onnxruntime": version("onnxruntime")}


def test_a_missing_extra_is_shown_with_its_command(capfd, monkeypatch, fresh_versions):
    lines = ["no-such-thing; extra == 'export'", "no-such-tool; extra == 'dev'"]
    monkeypatch.setattr(probe, "requires", lambda name: lines)
    assert main(["doctor"]) == 0
    output = capfd.readouterr().out
    assert "no-such-thing" in output
    assert "pip install 'lolvit[export]'" in output
    assert "no-such-tool" not in output  # for work on the repository alone


def test_what_several_runtimes_lack_is_said_once(capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["doctor"]) == 0
    output = capfd.readouterr().out
    assert output.count("lolvit setup arm64") == 1
    for name in ("ort-arm64-a76", "ort-arm64-i8mm", "litert-arm64-a76", "litert-arm64-i8mm"):
        assert name in output


def test_the_cpu_is_read_from_cpuinfo(tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor\t: 0\nmodel name\t: Fast One\nflags\t\t: fpu avx2 fma sse\n\nmodel name: B\n"
    )
    monkeypatch.setattr(probe, "_CPUINFO", path)
    found = probe.machine()
    assert found["cpu"] == "Fast One"
    assert found["vector_extensions"] == ["avx2", "fma"]
    path.write_text("processor : 0\nFeatures : fp asimd i8mm\n")
    assert probe.machine()["vector_extensions"] == ["asimd", "i8mm"]


def test_a_system_without_cpuinfo_is_described_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_CPUINFO", tmp_path / "absent")
    found = probe.machine()
    assert found["cores"] >= found["usable_cores"] >= 1
    assert found["vector_extensions"] == []


@pytest.mark.parametrize(
    ("written", "compiled", "said"),
    [(False, False, True), (False, True, False), (True, False, False)],
)
def test_modules_that_every_command_compiles_again_are_said(
    written, compiled, said, capfd, monkeypatch, tmp_path
):
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("")
    real, spec = importlib.util.find_spec, importlib.util.spec_from_file_location(
        "torch", package / "__init__.py"
    )  # fmt: skip
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: spec if name == "torch" else real(name)
    )
    monkeypatch.setattr("sys.dont_write_bytecode", not written)
    if compiled:
        py_compile.compile(str(package / "__init__.py"), doraise=True)
    assert main(["doctor"]) == 0
    printed = " ".join(capfd.readouterr().out.split())
    line = f"run: python -m compileall -q {tmp_path}"
    reason = "PYTHONDONTWRITEBYTECODE is set"
    assert (line in printed and reason in printed) == said
    expected = {"folder": str(tmp_path), "reason": reason} if said else None
    assert document(capfd)["uncompiled_modules"] == expected


@pytest.mark.parametrize(
    ("prefix", "arguments", "said"),
    [
        ("/home/me/.pyenv/versions/3.11.7", "'--enable-shared'", True),
        ("/home/me/.pyenv/versions/3.11.7", "'--enable-optimizations' '--with-lto'", False),
        ("/usr", "'--enable-shared' '--prefix=/usr'", False),  # Debian's
        ("C:\\Python311", None, False),
    ],
)
def test_a_python_compiled_without_optimizations_is_said(
    prefix, arguments, said, capfd, monkeypatch
):
    monkeypatch.setattr("sys.base_prefix", prefix)
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: arguments)
    assert main(["doctor"]) == 0
    printed = " ".join(capfd.readouterr().out.split())
    assert (f"the Python in {prefix} was compiled without optimizations" in printed) == said
    assert document(capfd)["unoptimized_python"] == (prefix if said else None)


def test_nothing_heavy_is_loaded():
    code = (
        "import sys; from lolvit.cli import main; main(['doctor', '--json']);"
        "heavy = {'torch', 'numpy', 'pydantic', 'onnxruntime', 'tensorflow', 'coremltools'};"
        "sys.exit(f'loaded: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["devices"]
