"""What can be measured from here."""

from __future__ import annotations

import json

from lolvit_benchmarks.devices_command import host_status, timed_runtimes
from lolvit_benchmarks.result_schema import PATH, schema_text
from lolvit_runtimes.probe import Status
from lolvit_runtimes.table import RUNTIMES
from tests.conftest import Run


def test_the_command_lists_the_host_and_its_runtimes(run_lolvit: Run) -> None:
    done = run_lolvit("devices", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    (host,) = document["devices"]
    assert set(host) == {"id", "kind", "ready", "reason"}
    assert (host["id"], host["ready"]) == ("host", True)
    assert [runtime["id"] for runtime in document["runtimes"]] == timed_runtimes()


def test_references_are_not_timed() -> None:
    left_out = set(RUNTIMES) - set(timed_runtimes())
    assert left_out == {name for name in RUNTIMES if "reference" in name}
    assert {"ort", "litert"} <= set(timed_runtimes())


def test_a_host_without_runtimes_is_not_ready_and_says_what_adds_one() -> None:
    host = host_status([Status("ort", "runtime", False, "missing")])
    assert not host.ready
    assert "pip install" in host.reason


def test_the_published_schema_is_that_of_the_documents() -> None:
    assert PATH.read_text() == schema_text(), "run: python -m lolvit_benchmarks.result_schema"
