"""Installing the page's runtimes, from a registry on this machine."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lolvit.errors import DeviceError, UserError
from lolvit_benchmarks.backends.browser import install, packages
from lolvit_benchmarks.backends.browser.packages import PACKAGES, Package


def archive_of(package: Package) -> bytes:
    """Return an archive with all files of a package, each of a few bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name in (*package.files, "README.md"):
            text = 'import { x } from "@litertjs/wasm-utils";' if "index" in name else name
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


@pytest.fixture
def archives() -> dict[str, bytes]:
    """What the registry has, by path."""
    return {f"/{package.archive_path}": archive_of(package) for package in PACKAGES}


@pytest.fixture
def registry(archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry, for whose archives the packages are pinned."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = archives.get(self.path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    pinned = tuple(
        dataclasses.replace(
            package,
            integrity="sha512-"
            + base64.b64encode(
                hashlib.sha512(archives[f"/{package.archive_path}"]).digest()
            ).decode(),
            archive_bytes=len(archives[f"/{package.archive_path}"]),
        )
        for package in PACKAGES
    )
    for module in (install, packages):
        monkeypatch.setattr(module, "PACKAGES", pinned)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def put(folder: Path, registry: str) -> Path:
    return install.install(lambda line: None, folder, registry)


def test_exactly_the_files_that_the_page_uses_are_installed(registry: str, tmp_path: Path) -> None:
    files = packages.installed(put(tmp_path / "browser", registry))
    assert len(files) == sum(len(package.files) for package in PACKAGES)
    assert {path.name for path in (tmp_path / "browser").iterdir()} == {
        "onnxruntime-web", "@litertjs", "files.json",
    }  # fmt: skip
    module = files["@litertjs/core/dist/index.js"].read_text()
    assert 'from "../../wasm-utils/dist/index.js"' in module
    helper = files["@litertjs/core/dist/index.js"].parent / "../../wasm-utils/dist/index.js"
    assert helper.resolve() == files["@litertjs/wasm-utils/dist/index.js"].resolve()


def test_another_archive_than_the_pinned_one_is_not_unpacked(
    registry: str, archives: dict[str, bytes], tmp_path: Path
) -> None:
    path = f"/{PACKAGES[0].archive_path}"
    archives[path] = archives[path][:-1] + b"!"
    with pytest.raises(DeviceError, match=r"is not onnxruntime-web .* sha512 differs"):
        put(tmp_path / "browser", registry)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_installation_leaves_the_one_before_it(
    registry: str, archives: dict[str, bytes], tmp_path: Path
) -> None:
    folder = put(tmp_path / "browser", registry)
    del archives[f"/{PACKAGES[1].archive_path}"]
    with pytest.raises(DeviceError, match=r"core-.*cannot be downloaded: Not Found"):
        put(folder, registry)
    assert packages.installed(folder)


def test_a_registry_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"cannot be downloaded: .*set npm_config_registry"):
        put(tmp_path / "browser", "http://127.0.0.1:9/")


def test_a_file_that_was_changed_is_not_served(registry: str, tmp_path: Path) -> None:
    folder = put(tmp_path / "browser", registry)
    (folder / PACKAGES[0].name / PACKAGES[0].files[0]).write_text("changed")
    with pytest.raises(UserError, match=r"not as it was installed; run: lolvit setup browser"):
        packages.installed(folder)


def test_what_is_missing_names_the_command_that_adds_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not installed; run: lolvit setup browser"):
        packages.installed(tmp_path)


@pytest.mark.parametrize("name", ["npm_config_registry", "NPM_CONFIG_REGISTRY"])
def test_the_registry_of_npms_environment_is_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "https://registry.example/npm")
    assert install.registry() == "https://registry.example/npm/"


def test_without_npm_the_public_registry_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    assert install.registry() == install.PUBLIC_REGISTRY
