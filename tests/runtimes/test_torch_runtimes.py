"""Eager PyTorch and torch.compile run an exported program, and open none that holds code."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lolvit.errors import DeviceError, UserError
from lolvit.manifest import Artifact, read_manifest
from lolvit_runtimes.session import open_session
from lolvit_runtimes.worker.isolated import IsolatedSession, check_bare
from tests.sessions import run_eager, run_image

MODEL, SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
WEIGHTS = "data/weights/model_weights_config.json"


@pytest.fixture(scope="module")
def artifact(torch_exported: Path) -> Artifact:
    found = read_manifest(torch_exported).find("torch", "fp32")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def program(torch_exported: Path) -> Path:
    return torch_exported / "model-fp32.pt2"


class Touch:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def repacked(program: Path, target: Path, changes: dict[str, bytes]) -> Path:
    """Write the archive anew with records replaced or added."""
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(target, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        records = {name.partition("/")[2]: old.read(name) for name in old.namelist()}
        for name, content in (records | changes).items():
            new.writestr(f"{root}/{name}", content)
    return target


def record(program: Path, name: str) -> bytes:
    with zipfile.ZipFile(program) as archive:
        return archive.read(f"{archive.namelist()[0].partition('/')[0]}/{name}")


def test_eager_gives_what_the_model_gives(program, artifact, image, tiny):
    found = open_session("eager", program, artifact)
    np.testing.assert_allclose(run_image(found, image), run_eager(tiny, image), atol=1e-6)
    assert found.options() == {"compiler": "none", "threads": "1"}
    assert found.placement()["ATen"] >= 4
    found.close()


def test_eager_computes_with_its_threads_and_gives_them_back(program, artifact, image):
    before = torch.get_num_threads()
    found = open_session("eager", program, artifact, threads=before + 1)
    assert torch.get_num_threads() == before
    run_image(found, image)
    assert torch.get_num_threads() == before + 1
    found.close()
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_compiled_gives_what_eager_gives(program, artifact, image):
    """In a child: inductor loads Triton, which not every library bears."""
    there = IsolatedSession("torch-compile", program, artifact, start_seconds=300)
    here = open_session("eager", program, artifact)
    np.testing.assert_allclose(run_image(there, image), run_image(here, image), atol=1e-5)
    options = there.options()
    assert (options["compiler"], options["threads"]) == ("inductor", "1")
    assert there.placement() == {}
    there.close()


@pytest.mark.slow
def test_a_missing_compiler_is_one_line(program, artifact, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with pytest.raises(DeviceError, match=r"found no C\+\+ compiler") as caught:
        IsolatedSession("torch-compile", program, artifact, start_seconds=300)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [np.zeros((1, 3, 16, 16), np.float32), np.zeros((1, 3, 32, 32))])
def test_a_wrong_input_is_a_device_error_of_one_line(wrong, program, artifact):
    with pytest.raises(DeviceError) as caught:
        run_image(open_session("eager", program, artifact), wrong)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_states_another_shape_is_rejected(program, artifact):
    wrong = artifact.outputs[0].model_copy(update={"shape": (1, 7)})
    forged = artifact.model_copy(update={"outputs": (wrong,)})
    with pytest.raises(DeviceError, match=r"its output 'logits' is float32 \(1, 10\)"):
        open_session("eager", program, forged)


def test_a_damaged_directory_of_the_archive_is_a_device_error(program, artifact, tmp_path):
    content, path = bytearray(program.read_bytes()), tmp_path / "damaged.pt2"
    content[content.rindex(b"PK\x01\x02")] = 0
    path.write_bytes(content)
    with pytest.raises(DeviceError, match="torch cannot open it"):
        open_session("eager", path, artifact)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_a_device_error_of_one_line(share, program, artifact, tmp_path):
    content, path = program.read_bytes(), tmp_path / "cut.pt2"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DeviceError, match="torch cannot open it") as caught:
        open_session("eager", path, artifact)
    assert "\n" not in str(caught.value)


def test_a_bare_program_is_rejected_whatever_it_holds(program, tmp_path, monkeypatch):
    monkeypatch.setattr("lolvit_runtimes.worker.isolated.RuntimeProcess", None)
    path = tmp_path / "bare.pt2"
    path.write_bytes(program.read_bytes())
    for refuse in (check_bare, lambda path: IsolatedSession("eager", path)):
        with pytest.raises(UserError, match="not opened without its manifest"):
            refuse(path)


def test_a_repacked_program_opens_so_that_the_cases_below_can_fail(program, artifact, tmp_path):
    open_session("eager", repacked(program, tmp_path / "same.pt2", {}), artifact).close()


def calling_another(program: Path) -> bytes:
    document = json.loads(record(program, MODEL))
    node = document["graph_module"]["graph"]["nodes"][0]
    node["target"] = "torch.os.system"
    return json.dumps(document).encode()


def with_a_pickled_weight(program: Path) -> bytes:
    document = json.loads(record(program, WEIGHTS))
    next(iter(document["config"].values()))["use_pickle"] = True
    return json.dumps(document).encode()


def test_a_program_that_would_run_code_is_rejected_and_runs_none(program, artifact, tmp_path):
    mark = tmp_path / "was-run"
    torched = io.BytesIO()
    torch.save(Touch(mark), torched)
    pickles = [torched.getvalue(), pickle.dumps(Touch(mark))]
    cases = [
        ({SAMPLES: pickles[0]}, "contains example inputs"),
        ({WEIGHTS: with_a_pickled_weight(program), "data/weights/weight_0": pickles[0]}, "pickle"),
        ({"data/weights/model.pt": pickles[0]}, "which lolvit does not export"),
        ({"data/constants/opaque_obj_0": pickles[1]}, "which lolvit does not export"),
        ({"data/aotinductor/model/model.so": b"\x7fELF"}, "which lolvit does not export"),
        ({MODEL: calling_another(program)}, "it calls torch.os.system"),
    ]
    for changes, reason in cases:
        path = repacked(program, tmp_path / "code.pt2", changes)
        with pytest.raises(DeviceError, match=reason) as caught:
            open_session("eager", path, artifact)
        assert "\n" not in str(caught.value)
        assert not mark.exists()


def test_torch_itself_would_run_the_example_inputs(program, tmp_path):
    """What the check above is for; should torch stop doing this, the check can be eased."""
    mark, torched = tmp_path / "was-run", io.BytesIO()
    torch.save(Touch(mark), torched)
    path = repacked(program, tmp_path / "code.pt2", {SAMPLES: torched.getvalue()})
    with pytest.raises(Exception):  # noqa: B017, PT011 - after the pickle ran, any
        torch.export.load(path)
    assert mark.exists()


def test_eager_keeps_the_process_threads(program, artifact, image):
    before = torch.get_num_threads()
    found = open_session("eager", program, artifact, threads=before + 1)
    run_image(found, image)
    assert torch.get_num_threads() == before + 1
    found.close()
    assert torch.get_num_threads() == before
