"""Models that a function in a user's file makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import lolvit
from lolvit.cli import main
from lolvit.errors import UserError
from lolvit_export.user_function import check_reference

SOURCE = '''
"""A model of a user's own."""
import torch
from torch import nn

import parts_of_mine


def build():
    torch.manual_seed(0)
    return parts_of_mine.Heads()


def nothing():
    return None


def broken():
    raise ValueError("no weights here")


def lost():
    return torch.load("net.pt")
'''
PARTS = """
from torch import nn


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(16, 7)

    def forward(self, x):
        low = self.stem(x)
        return {"low": low, "classes": self.head(low.mean((2, 3))), "mask": low.argmax(1)}
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    """A file of the user's that imports another beside it."""
    (tmp_path / "parts_of_mine.py").write_text(PARTS)
    path = tmp_path / "my_models.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.slow
def test_a_function_in_a_file_is_exported_by_the_command(
    user_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "classes.txt").write_text("cat\ncup\n")
    arguments = ["export", f"{user_file}:build", "--size", "64", "--to", "onnx,tflite"]
    arguments += ["--labels", str(tmp_path / "classes.txt")]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["model"], document["task"]) == ("build", "tensors")
    assert "ImageNet" in document["notes"][0]
    assert "are not those of a classifier" in document["notes"][1]
    assert document["notes"][1].endswith("for ranked classes, return the logits alone")
    names = [output["name"] for output in document["artifacts"][0]["outputs"]]
    assert names == ["low", "classes", "mask"]
    assert main(["verify", document["folder"]]) == 0


FUNCTIONS = {
    "no such function": (":biuld", "has no function 'biuld'"),
    "nothing given": (":nothing", "returns NoneType, not a torch.nn.Module"),
    "raises": (":broken", r"broken\(\) failed: ValueError: no weights here"),
    "no file": (":lost", r"lost\(\) failed: FileNotFoundError: .*; relative paths start at"),
    "not named": ("", "names no function; write one of: .*:build"),
}


@pytest.mark.parametrize(("name", "message"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_file_without_the_model_is_one_line(user_file: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        lolvit.export(f"{user_file}{name}", size=64)


@pytest.mark.parametrize(
    ("text", "given", "remedy"),
    [
        ("def net(size=3): 1", "", "write {0}:net"),
        ("def net(): 1\ndef other(): 1\ndef _own(): 1\ndef of(x): 1\nx = 1 / 0", "",
         "names no function; write one of: {0}:net, {0}:other"),
        ("import torch", ":", "define one that returns the module, and write {0}:FUNCTION"),
        ("def net(: 1", "", "cannot be imported: SyntaxError: "),
        ("def net(): 1", ":net", "its image size is unknown; give --size 224"),
        ("def network(): 1", ":netwrok", "no function 'netwrok'; did you mean 'network'? choose"),
    ],
)  # fmt: skip
def test_what_a_reference_lacks_is_said_before_torch_is_loaded_and_the_file_executed(
    tmp_path: Path, text: str, given: str, remedy: str
) -> None:
    path = tmp_path / "my_models.py"
    path.write_text(f"{text}\n")
    code = (
        "import sys; from lolvit.cli import main; code = main(sys.argv[1:]);"
        "loaded = {'torch', 'numpy', 'onnx'} & set(sys.modules); sys.exit(str(loaded or code))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "export", f"{path}{given}"], capture_output=True, text=True
    )
    line, code = done.stderr.splitlines()
    assert code == "2"
    assert remedy.format(path) in line


def test_a_function_that_a_file_makes_in_another_way_is_left_to_the_import(tmp_path: Path) -> None:
    for text in ("from torch import *", "globals()['n' + 'et'] = 1", "net = partial(other, 1)"):
        (tmp_path / "my_models.py").write_text(text)
        assert check_reference(f"{tmp_path}/my_models.py:net")[1] == "net"


def test_an_unknown_name_is_said_before_torch_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_models.py").write_text("def net(): 1")
    for model, remedy in (("lolvit_y", "'lolvit_x'?"), ("my_models:net", "my_models.py:net")):
        assert main(["export", model, "--size", "64"]) == 2
        (line,) = capfd.readouterr().err.splitlines()  # no line on a step, such as loading PyTorch
        assert f"unknown model '{model}'" in line and remedy in line
