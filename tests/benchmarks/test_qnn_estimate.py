"""Qualcomm's compiler's estimates: apart from measurements, refused where there are none."""

from __future__ import annotations

import pytest

from lolvit.errors import UserError
from lolvit_benchmarks.backends.qnn import chosen_socs, list_devices
from lolvit_benchmarks.backends.registry import choose_devices
from lolvit_runtimes.qnn_socs import SOCS

HEADER = "Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier"
PROFILE = f"""{HEADER}
0,FINALIZE,331699,US,BACKEND,ROOT,QNN (finalize) time
0,BACKEND,1498169,CYCLES,BACKEND,SUB-EVENT,Simulated (Accelerator exec cycles)
0,BACKEND,1000,US,BACKEND,SUB-EVENT,Simulated (Accelerator exec time us)
0,BACKEND,839,US,BACKEND,SUB-EVENT,Simulated (Accelerator exec time us (lower estimate))
0,BACKEND,1294,US,BACKEND,SUB-EVENT,Simulated (Accelerator exec time us (upper estimate))
"""


def test_all_means_every_chip_with_an_estimate() -> None:
    assert [soc.model for soc in chosen_socs("all")] == [52, 62, 63, 72, 77, 114]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sm8650", "estimates no times for Snapdragon 8 Gen 3; choose from: sa8255"),
        ("52,nothing", "unknown SoC 'nothing'"),
        ("none", "needs a SoC"),
    ],
)
def test_a_chip_without_an_estimate_is_reported_in_one_line(text: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        chosen_socs(text)


def test_chips_are_named_behind_the_colon() -> None:
    (chosen,) = choose_devices("qnn-estimate:52,qcs9100", None)
    assert (chosen.argument, chosen.runtimes, chosen.formats) == ("52,qcs9100", ("qnn",), ("qnn",))
    with pytest.raises(UserError, match="needs more; write qnn-estimate:all"):
        choose_devices("qnn-estimate", None)


def test_the_list_says_that_nothing_is_measured() -> None:
    listed = list_devices()
    assert len(listed) == sum(soc.estimates for soc in SOCS.values())
    assert all("measured latency" in status.not_reported for status in listed)


def test_a_profile_is_read_in_milliseconds() -> None:
    pytest.importorskip("onnxruntime_qnn", reason="run: pip install 'lolvit[qnn]'")
    from lolvit_benchmarks.backends.qnn_estimates import read_times

    assert read_times(PROFILE.splitlines()) == {"": 1.0, "lower": 0.839, "upper": 1.294}
    assert read_times(PROFILE.splitlines()[:3]) == {}
    assert read_times([]) == {}
