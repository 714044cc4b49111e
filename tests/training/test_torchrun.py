"""Several processes: torchrun shares batches and counts, and a killed worker costs no epoch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lolvit.cli import main

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def command(few_digits: Path, recipe_file: Path, out: Path) -> list[str]:
    return ["-m", "lolvit", "train", "--data", str(few_digits), "--model", "lolvit_xx",
            "--recipe", str(recipe_file), "--out", str(out)]  # fmt: skip


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)


@pytest.fixture(scope="module")
def checkpoint(
    few_digits: Path, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model that two processes have trained together."""
    out = tmp_path_factory.mktemp("two") / "run"
    done = run([*TORCHRUN, *command(few_digits, recipe_file, out), "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["images"] == 18
    return out / "model.safetensors"


@pytest.mark.slow
def test_shared_evaluation_gives_one_processes_figure_to_the_image(
    checkpoint: Path, few_digits: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(checkpoint), "--data", str(few_digits), "--json"]
    assert main(arguments) == 0
    alone = json.loads(capfd.readouterr().out)["results"][0]["metrics"]
    shared = run([*TORCHRUN, "-m", "lolvit", *arguments])
    assert shared.returncode == 0, shared.stderr
    together = json.loads(shared.stdout)["results"][0]["metrics"]
    assert together["per_class"] == alone["per_class"]
    assert together["top1"] == alone["top1"]
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-5)


@pytest.mark.slow
def test_a_killed_worker_is_restarted_and_resumes_from_the_last_checkpoint(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = [*TORCHRUN, "--max-restarts", "1", *command(few_digits, recipe_file, out)]
    with (tmp_path / "log").open("w") as log, (tmp_path / "documents").open("w") as documents:
        agent = subprocess.Popen(
            [*arguments, "--checkpoint-steps", "1", "--epochs", "4", "--json"],
            env=ENVIRONMENT, stdout=documents, stderr=log,
        )  # fmt: skip
        wait_for(out / "last.pt", agent)
        workers = [p for p in psutil.Process(agent.pid).children() if "train" in p.cmdline()]
        assert len(workers) == 2
        workers[-1].send_signal(signal.SIGKILL)
        assert agent.wait(timeout=300) == 0
    said = (tmp_path / "log").read_text()
    assert "resumed at epoch" in said and "epoch 4/4" in said
    assert json.loads((tmp_path / "documents").read_text())["metrics"]["images"] == 18  # just one
    assert (out / "model.safetensors").exists()


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, "ended before its first checkpoint"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_batch_that_processes_can_not_share_is_one_line(
    few_digits: Path, recipe_file: Path, tmp_path: Path
) -> None:
    arguments = command(few_digits, recipe_file, tmp_path / "run")
    done = run([*TORCHRUN, *arguments, "--batch-size", "9", "--json"])
    assert done.returncode != 0
    assert json.loads(done.stdout)["error"]["exit_code"] == 2  # just one
    assert "lolvit: a batch of 9 can't be split over 2 processes" in done.stderr
    assert "internal error" not in done.stderr
