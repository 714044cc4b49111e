"""The workflow for forks calls make targets that exist, and pins its actions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


BOOTSTRAP = "sh lolvit/system/install.sh --all"
MADE = [step["run"] for step in STEPS if "run" in step and step["run"] != BOOTSTRAP]


def targets_called(command: str) -> list[str]:
    """Return the targets of a command that is `make TARGET ... VARIABLE=value`."""
    program, *words = command.split()
    assert program == "make", f"'{command}' is not a make target"
    return [word for word in words if "=" not in word]


def test_every_command_is_a_make_target_that_help_lists() -> None:
    listed = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {target for command in MADE for target in targets_called(command)}
    assert called <= listed
    assert {"test-deps", "test", "docs", "release", "audit", "fuzz"} <= called


def test_the_workflow_calls_what_the_continuous_integration_of_this_repository_calls() -> None:
    script = (ROOT / ".ci/run").read_text()
    called = re.findall(rf"^(?: *|flock \S+ )(make [a-z-]+|{BOOTSTRAP})", script, re.MULTILINE)
    runs = [step["run"] for step in WORKFLOW["jobs"]["test"]["steps"] if "run" in step]
    assert len(called) > 3
    assert [run for run in runs if run in called] == called
    assert {"make android-test", "make ios-test", "make test"} <= set(called)


def test_actions_are_pinned_and_see_nothing_secret() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    # To a commit: a tag can be moved.
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in used)
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "secrets." not in (ROOT / ".github/workflows/ci.yml").read_text()
    assert all(job["timeout-minutes"] <= 90 for job in WORKFLOW["jobs"].values())
