"""Files that are no checkpoint, or no longer: one line, and nothing in them is executed."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors
from torch import nn

from lolvit.errors import UserError
from lolvit.models.checkpoint import read_state
from lolvit.models.torch_file import load_torch_file

STATE = {"stem.weight": torch.arange(12.0).reshape(4, 3), "count": torch.tensor(3)}
FORMATS = ("safetensors", "torch-zip", "torch-legacy")
pytestmark = pytest.mark.filterwarnings("error")  # an error is one line, and nothing beside it
anywhere = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@cache
def whole(kind: str) -> bytes:
    if kind == "safetensors":
        return save_safetensors(STATE, metadata={"lolvit": '{"model": "lolvit_xx"}'})
    stream = io.BytesIO()
    torch.save({"state_dict": STATE}, stream, _use_new_zipfile_serialization=kind == "torch-zip")
    return stream.getvalue()


def write(folder: Path, kind: str, data: bytes) -> Path:
    path = folder / ("file.safetensors" if kind == "safetensors" else "file.pth")
    path.write_bytes(data)
    return path


def error_line(path: Path) -> str:
    """Return the one-line error for the file."""
    with pytest.raises(UserError) as caught:
        read_state(path)
    line = caught.value.line()
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


def read_or_refuse(path: Path) -> None:
    """Read the file; whatever is in it, either tensors or one line come out."""
    try:
        state, config = read_state(path)
    except UserError as error:
        assert "\n" not in error.line()
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
        assert isinstance(config, dict)


@anywhere
@given(st.sampled_from(FORMATS), st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_rejected(tmp_path: Path, kind: str, share: float) -> None:
    data = whole(kind)
    error_line(write(tmp_path, kind, data[: int(len(data) * share)]))


@anywhere
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
def test_overwritten_bytes_give_tensors_or_one_line(
    tmp_path: Path, kind: str, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(whole(kind))
    for share, value in changes:
        data[int(len(data) * share)] = value
    read_or_refuse(write(tmp_path, kind, bytes(data)))


@anywhere
@given(st.sampled_from(FORMATS), st.binary(max_size=200))
@example("torch-legacy", pickle.dumps(12, protocol=2))
def test_arbitrary_bytes_are_rejected(tmp_path: Path, kind: str, data: bytes) -> None:
    error_line(write(tmp_path, kind, data))


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path, size = tmp_path / "bomb.pth", 1 << 28
    stream = io.BytesIO()
    torch.save({"w": torch.zeros(4)}, stream)
    with (
        zipfile.ZipFile(stream) as whole,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            packed.writestr(name, bytes(size) if name.endswith("data/0") else content)
    assert path.stat().st_size < 1 << 20
    assert "its members have 2684" in error_line(path)


class Called:
    """Pickled as a call of a function."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


POINTERS = bytearray(b"A" * 8)  # read as an object, it ends the process


HOSTILE = {
    "pointers": Called(np.ndarray, ((1,), np.dtype("O"), POINTERS)),
    "void": Called(np.ndarray, ((1,), np.dtype("V8"), POINTERS)),
    "strides": Called(np.ndarray, ((1 << 40,), np.dtype("f4"), POINTERS, 0, (1 << 50,))),
    "hidden": Called(np.dtype, ("V8",), (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)),
    "objects": np.array([{}], dtype=object),
    "structure": np.zeros(2, [("a", "f4")]),
}


def test_numpy_makes_no_objects_of_a_files_bytes(tmp_path: Path) -> None:
    """In a child, which such objects would end."""
    for name, value in HOSTILE.items():
        torch.save({"state_dict": STATE, "extra": value}, tmp_path / f"{name}.pth")
    program = (
        "import sys; from pathlib import Path; from lolvit.errors import UserError\n"
        "from lolvit.models.checkpoint import read_state\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(sorted(read_state(Path(path))[0]))\n"
        "    except UserError as error: print(error.line())\n"
    )
    paths = [str(tmp_path / f"{name}.pth") for name in HOSTILE]
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(HOSTILE)
    for name, line in zip(HOSTILE, lines, strict=True):
        assert "is not loaded" in line or line == "['count', 'stem.weight']", name


def test_plain_numbers_and_arrays_of_numpy_are_read_as_they_were(tmp_path: Path) -> None:
    values = [np.float64(0.5), np.arange(6, dtype=">i2").reshape(2, 3).T, np.bool_(True),
              np.str_("a")]  # fmt: skip
    torch.save(values, tmp_path / "numpy.pth")
    found = load_torch_file(tmp_path / "numpy.pth")
    for value, other in zip(values, found, strict=True):
        np.testing.assert_array_equal(getattr(other, "value", other), value)


class Intruder:
    """Unpickled carelessly, it creates the file that it names."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch '{self.mark}'",))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_torch_file_is_rejected_and_not_run(tmp_path: Path, zipped: bool) -> None:
    mark, path = tmp_path / "executed", tmp_path / "evil.pth"
    document = {"state_dict": STATE, "extra": Intruder(mark)}
    torch.save(document, path, _use_new_zipfile_serialization=zipped)
    assert "holds more than weights (posix.system), and is not loaded" in error_line(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # the trap works: only its loading was restricted


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors"])
def test_code_in_a_bare_pickle_is_not_run_either(tmp_path: Path, suffix: str) -> None:
    mark, path = tmp_path / "executed", tmp_path / f"evil{suffix}"
    path.write_bytes(pickle.dumps(Intruder(mark), protocol=2))
    error_line(path)
    assert not mark.exists()


class Runner:
    """Unpickled carelessly, it runs a line of Python; `posix`, which torch blocks, is not named."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({str(self.mark)!r}, 'w').close()",))


def test_code_beside_a_pickled_model_is_not_run(tmp_path: Path) -> None:
    mark, path, model = tmp_path / "executed", tmp_path / "evil.pth", nn.Linear(2, 2)
    torch.save({"model": model, "extra": Runner(mark)}, path)
    state, _ = read_state(path)
    assert state.keys() == model.state_dict().keys() and not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # the trap works


@pytest.mark.parametrize("loops", [1, 2])
def test_a_pickled_model_that_holds_itself_is_rejected(tmp_path: Path, loops: int) -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    for number in range(loops):
        model._modules[f"again{number}"] = model
    torch.save(model, tmp_path / "model.pth")
    assert "is not loaded" in error_line(tmp_path / "model.pth")


@pytest.mark.parametrize("kind", ["legacy", "bare pickle"])
def test_a_whole_model_in_an_old_format_is_rejected_with_what_to_save_instead(
    tmp_path: Path, kind: str
) -> None:
    path, model = tmp_path / "model.pth", nn.Linear(2, 2)
    if kind == "legacy":
        torch.save(model, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(model, protocol=2))
    assert "save its state_dict() alone, best as safetensors" in error_line(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert error_line(tmp_path / "none.pth").endswith(
        "none.pth: no such checkpoint; check the path"
    )


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    assert "no such checkpoint" in error_line(tmp_path)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("safetensors", ".pth"), ("torch-zip", ".safetensors")]
)
def test_a_wrong_suffix_is_rejected(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(whole(kind))
    error_line(path)


@pytest.mark.parametrize("document", [{}, [], 3, None, {"state_dict": {}}, {"epoch": 3}], ids=repr)
def test_a_torch_file_without_tensors_is_rejected(tmp_path: Path, document: object) -> None:
    torch.save(document, tmp_path / "empty.pth")
    assert "holds no tensors" in error_line(tmp_path / "empty.pth")


def test_a_state_that_holds_itself_is_rejected(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["state_dict"] = endless
    torch.save(endless, tmp_path / "endless.pth")
    assert "holds no tensors" in error_line(tmp_path / "endless.pth")


@pytest.mark.parametrize("config", ["[1]", "3", "null", "{", "[" * 100_000], ids=lambda c: c[:4])
def test_a_configuration_that_is_no_table_is_rejected(tmp_path: Path, config: str) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(save_safetensors(STATE, metadata={"lolvit": config}))
    assert "not a safetensors file, or cut short" in error_line(path)


@pytest.mark.parametrize("offsets", [[0, 2**60], [2**62, 2**62 + 48], [48, 0], [-1, 47]], ids=str)
def test_offsets_outside_a_safetensors_file_are_rejected(
    tmp_path: Path, offsets: list[int]
) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [4, 3], "data_offsets": offsets}}).encode()
    path = tmp_path / "file.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(48))
    error_line(path)


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None, parent=anywhere)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=40),
    st.floats(0.5, 1),
)
@example("torch-zip", [(0.98828125, 1)], 1.0)  # a zip file of two disks
def test_many_mutations_give_tensors_or_one_line(
    tmp_path: Path, kind: str, changes: list[tuple[float, int]], share: float
) -> None:
    data = bytearray(whole(kind))
    for place, value in changes:
        data[int(len(data) * place)] = value
    read_or_refuse(write(tmp_path, kind, bytes(data[: int(len(data) * share)])))
