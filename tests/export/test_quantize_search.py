"""The search takes the fastest of what is good enough, and keeps little in float."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lolvit.errors import DeviceError, UserError
from lolvit.manifest import Artifact, TensorSpec
from lolvit_export.quantization.candidates import Candidates
from lolvit_export.quantization.evaluator import Score
from lolvit_export.quantization.plan import Plan, read_plan, write_plan
from lolvit_export.quantization.quantizer import Layer
from lolvit_export.quantization.search import NO_THRESHOLDS, Thresholds, narrowings, search
from lolvit_export.quantization.sensitivity import rank_layers
from lolvit_export.quantization.timing import speedup
from lolvit_export.targets import find_target

IMAGE = TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW", meaning="normalized")
LOGITS = TensorSpec(name="logits", shape=(1, 2), layout="NC", meaning="logits")
ARTIFACT = Artifact(
    path="model-int8.onnx",
    format="onnx",
    precision="int8",
    sha256="0" * 64,
    bytes=1,
    inputs=(IMAGE,),
    outputs=(LOGITS,),
)
# The map becomes narrower at the third and at the ninth layer.
LAYERS = [
    *(Layer(f"conv{i}", "Conv", 400 if i < 2 else 200 if i < 8 else 100) for i in range(20)),
    Layer("product", "Product", 100),
]
THRESHOLDS = Thresholds(snr_db=20, top1_agreement=0.9)


@dataclass
class Model:
    """A made-up model: each quantized layer adds noise, and takes time off."""

    noise: dict[str, float] = field(default_factory=dict)
    gain: dict[str, float] = field(default_factory=dict)
    method_db: dict[str, float] = field(default_factory=dict)
    method_change: dict[str, float] = field(default_factory=dict)
    failing: tuple[str, ...] = ()  # methods and kinds of operations that lose a class
    refused: tuple[str, ...] = ()  # kinds of operations that the runtime does not open
    timed: bool = True
    corrects_biases: bool = False
    bias_db: float = 0.0
    network: Sequence[Layer] = tuple(LAYERS)
    gemm_gain: dict[str, float] = field(default_factory=dict)
    now: Plan | None = None

    def layers(self) -> Sequence[Layer]:
        return self.network

    def recipes(self) -> dict[str, tuple[str, ...]]:
        return {"everything": ("Conv", "Product"), "convolutions": ("Conv",)}

    def quantize(self, plan: Plan, path: Path) -> Artifact:
        if plan.method == "entropy":
            raise UserError("no such method")
        self.now = plan
        return ARTIFACT

    def quantized(self) -> list[str]:
        assert self.now is not None
        kept = self.now.float_layers
        kinds = self.now.operations
        return [x.name for x in self.network if x.operation in kinds and x.name not in kept]

    def score(self, path: Path, artifact: Artifact, count: int | None = None) -> Score:
        assert self.now is not None
        if {*self.now.operations} & {*self.refused}:
            raise DeviceError("it cannot be opened")
        loss = sum(self.noise.get(name, 0.5) for name in self.quantized())
        gained = self.method_db.get(self.now.method, 0) + self.now.bias_correction * self.bias_db
        lost = {self.now.method, *self.now.operations} & set(self.failing)
        failed = ("worst_class_recall",) if lost else ()
        change = self.method_change.get(self.now.method)
        return Score(40 - loss + gained, 1.0, change, failed)

    def speed(self, path: Path, artifact: Artifact, seconds: float = 1.0) -> float | None:
        assert self.now is not None
        gained = sum(self.gain.get(name, 0.05) for name in self.quantized())
        gained += sum(self.gemm_gain[name] for name in self.now.gemm_layers)
        return 1 + gained if self.timed else None


def candidates_of(model: Model) -> Candidates:
    return Candidates(model, model, find_target("onnx"), "int8", Path(ARTIFACT.path))  # type: ignore[arg-type]


def found(model: Model, thresholds: Thresholds = THRESHOLDS) -> Plan:
    return search(candidates_of(model), thresholds, lambda line: None)


def test_the_fastest_recipe_above_the_thresholds_is_taken() -> None:
    assert found(Model(gain={"product": 0.3})).operations == ("Conv", "Product")
    assert found(Model(gain={"product": -0.3})).operations == ("Conv",)


def test_a_fast_recipe_below_the_thresholds_is_not() -> None:
    plan = found(Model(gain={"product": 0.3}, noise={"product": 15}))
    assert plan.operations == ("Conv",)


def test_among_equals_in_speed_the_more_accurate_is_taken() -> None:
    exact, rough = ({"product": db} for db in (0.5, 3.0))
    assert found(Model(gain={"product": 0.001}, noise=rough)).operations == ("Conv",)
    assert found(Model(gain={"product": 0.001}, noise=exact)).operations == ("Conv", "Product")


def test_a_recipe_of_which_the_slow_first_layer_is_all_is_not_left_without_any() -> None:
    network = (Layer("conv", "Conv", 400), Layer("product", "Product", 100))
    plan = found(Model(network=network, gain={"conv": -0.5, "product": 0.1}))
    assert (plan.operations, plan.float_layers) == (("Conv", "Product"), ("conv",))


def test_a_network_with_nothing_to_quantize_is_one_line() -> None:
    class Bare(Model):
        def recipes(self) -> dict[str, tuple[str, ...]]:
            return {}

    with pytest.raises(UserError, match="no operation that is quantized"):
        found(Bare())


def test_where_nothing_is_timed_the_widest_recipe_is_taken() -> None:
    plan = found(Model(timed=False))
    assert plan.operations == ("Conv", "Product") and plan.float_layers == ()
    assert all(candidate.speedup_vs_fp32 is None for candidate in plan.candidates)


def test_the_most_accurate_method_is_taken_and_missing_ones_are_passed_over() -> None:
    plan = found(Model(method_db={"mse": 2, "entropy": 9}))
    assert plan.method == "mse"
    assert "entropy" not in {candidate.method for candidate in plan.candidates}


def test_a_method_that_loses_a_class_is_not_taken_however_accurate_the_rest_is() -> None:
    plan = found(Model(method_db={"percentile": 2, "mse": 1}, failing=("percentile",)))
    assert plan.method == "mse"
    (percentile,) = [each for each in plan.candidates if each.method == "percentile"]
    assert percentile.failed == ("worst_class_recall",)


def test_a_method_with_more_decibels_that_loses_a_point_is_not_taken() -> None:
    thresholds = Thresholds(20, 0.9, accuracy_change=-1)
    model = Model(method_db={"percentile": 2}, method_change={"minmax": -0.9, "percentile": -1.1})
    assert found(model, thresholds).method == "minmax"
    assert found(model).method == "percentile"


def test_a_recipe_that_loses_a_class_is_not_taken_however_fast_it_is() -> None:
    plan = found(Model(gain={"product": 0.3}, failing=("Product",)))
    assert plan.operations == ("Conv",)


def test_a_recipe_that_the_runtime_does_not_open_is_left_out() -> None:
    lines: list[str] = []
    slow_first = {"conv0": -0.5, "product": 0.9}
    model = Model(refused=("Product",), gain=slow_first)
    plan = search(candidates_of(model), THRESHOLDS, lines.append)
    assert plan.operations == ("Conv",) and "conv0" in plan.float_layers
    assert [line for line in lines if "left out" in line] == [
        "everything: left out, it cannot be opened"
    ]
    with pytest.raises(DeviceError, match="it cannot be opened"):
        found(Model(refused=("Conv",)))


def test_of_recipes_below_the_thresholds_one_that_loses_a_class_comes_last() -> None:
    model = Model(gain={"product": 0.3}, failing=("Product",))
    assert found(model, Thresholds(100, 0.9)).operations == ("Conv",)
    assert found(model, NO_THRESHOLDS).operations == ("Conv", "Product")


def test_first_layers_that_are_slow_as_integers_stay_in_float() -> None:
    slow = {f"conv{i}": -0.1 for i in range(3)}
    assert set(found(Model(gain=slow)).float_layers) == set(slow)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 9, 10])
def test_as_many_first_layers_stay_as_is_fastest_at_narrow_places_and_beside_them(
    count: int,
) -> None:
    slow = {f"conv{i}": -0.1 for i in range(count)}
    assert set(found(Model(gain=slow)).float_layers) == set(slow)


def test_first_layers_are_evaluated_where_the_network_becomes_narrower() -> None:
    assert narrowings(LAYERS) == [1, 3, 9]
    assert narrowings([Layer("one", "Conv")]) == [1]
    assert narrowings([]) == []


def test_a_place_is_narrow_by_what_stays_in_float_too() -> None:
    """The product halves the map behind the sixth layer; the convolutions behind it double it."""
    network = [Layer(f"conv{i}", "Conv", 400) for i in range(20)]
    network.insert(6, Layer("product", "Product", 100))
    slow = {f"conv{i}": -0.1 for i in range(6)} | {"product": -0.3}
    plan = found(Model(gain=slow, network=network))
    assert plan.operations == ("Conv",)
    assert set(plan.float_layers) == {f"conv{i}" for i in range(6)}


def test_kinds_are_chosen_again_once_the_first_layers_are_in_float() -> None:
    """As an integer, one product is slow among the first layers, and the other one fast."""
    network = [Layer("first", "Product", 400), *LAYERS[:20], Layer("last", "Product", 100)]
    gain = {"first": -0.5, "conv0": -0.1, "conv1": -0.1, "last": 0.2}
    plan = found(Model(gain=gain, network=network))
    assert plan.operations == ("Conv", "Product")
    assert set(plan.float_layers) == {"first", "conv0", "conv1"}


# Twenty convolutions, the sums of each pair longer than those of the pair behind it.
DEEP = [Layer(f"conv{i}", "Conv", 400, 16 * (10 - i // 2)) for i in range(20)]


@pytest.mark.parametrize("count", [0, 2, 6, 20])
def test_convolutions_with_the_longest_sums_are_products_of_matrices_where_that_is_faster(
    count: int,
) -> None:
    gains = {f"conv{i}": 0.1 if i < count else -0.1 for i in range(20)}
    plan = found(Model(network=DEEP, gemm_gain=gains))
    assert plan.gemm_layers == tuple(f"conv{i}" for i in range(count))
    evaluated = [each for each in plan.candidates if each.gemm_layers]
    assert len(evaluated) == min(count // 2 + 2, 10)  # two that are slower end it


def test_products_of_matrices_that_gain_a_trifle_are_not_taken() -> None:
    assert (
        found(Model(network=DEEP, gemm_gain={f"conv{i}": 1e-4 for i in range(20)})).gemm_layers
        == ()
    )


def test_what_stays_in_float_is_no_product_of_matrices() -> None:
    slow = {"conv0": -0.1}
    plan = found(Model(network=DEEP, gain=slow, gemm_gain={f"conv{i}": 0.1 for i in range(20)}))
    assert plan.float_layers == ("conv0",)
    assert plan.gemm_layers == tuple(f"conv{i}" for i in range(1, 20))


def test_products_of_matrices_are_corrected_as_all_else_is() -> None:
    noisy = {f"conv{i}": 1.5 for i in range(20)}
    gains = {f"conv{i}": 0.1 for i in range(20)}
    model = Model(network=DEEP, noise=noisy, gemm_gain=gains, corrects_biases=True, bias_db=15)
    plan = found(model)
    assert plan.bias_correction and len(plan.gemm_layers) == 20
    assert not any(each.bias_correction and each.speedup_vs_fp32 for each in plan.candidates)


def test_without_thresholds_the_fastest_is_taken_however_inaccurate() -> None:
    costly = Model(gain={"product": 0.3}, noise={layer.name: 10.0 for layer in LAYERS})
    plan = found(costly, NO_THRESHOLDS)
    assert plan.operations == ("Conv", "Product") and plan.float_layers == ()
    assert plan.sensitivity == ()
    assert found(costly).candidates[0].snr_db < 0


def test_without_thresholds_random_weights_keep_the_same_layers_in_float_as_trained_ones() -> None:
    gain = {"conv0": -0.1, "conv1": -0.1, "product": -0.3}
    trained = found(Model(gain=gain))
    untrained = Model(gain=gain, noise={"conv7": 18.0, "conv11": 9.0})
    timed = found(untrained, NO_THRESHOLDS)
    assert timed.operations == trained.operations == ("Conv",)
    assert set(timed.float_layers) == set(trained.float_layers) == {"conv0", "conv1"}
    assert "conv7" in found(untrained).float_layers


def test_the_fewest_sensitive_layers_stay_in_float() -> None:
    costly = {"conv7": 8.0, "conv11": 6.0, "conv15": 1.0}
    plan = found(Model(noise=costly))  # 40 - 8 - 6 - 1 - 17.5 or - 18: below 20 dB
    assert plan.float_layers == ("conv7",)


# As a detector's: a convolution and a join that gives the output, behind which nothing has weights.
WITH_OUTPUTS = [*LAYERS, *(Layer(name, "Conv", 100, is_output=True) for name in ("head", "join"))]


def test_layers_that_give_the_outputs_stay_in_float_where_that_reaches_the_thresholds() -> None:
    model = Model(noise={"head": 8.0, "join": 6.0}, network=WITH_OUTPUTS)
    plan = found(model)
    assert plan.float_layers == ("head", "join") and plan.sensitivity == ()
    assert found(Model(network=WITH_OUTPUTS)).float_layers == ()


def test_where_outputs_in_float_are_not_enough_the_sensitive_layers_are_found() -> None:
    plan = found(Model(noise={"conv7": 9.0, "conv11": 6.0}, network=WITH_OUTPUTS))
    assert plan.float_layers == ("conv7",)
    tried = [each.float_layers for each in plan.candidates]
    assert ("head", "join") in tried


def test_outputs_in_float_stay_so_beside_first_layers() -> None:
    slow = {f"conv{i}": -0.1 for i in range(3)}
    noise = {"head": 8.0, "join": 6.0, "product": 3.0}
    plan = found(Model(noise=noise, gain=slow, network=WITH_OUTPUTS))
    assert {*slow, "head", "join"} == set(plan.float_layers)
    other = [each for each in plan.candidates if "Product" in each.operations and each.float_layers]
    assert all({"head", "join"} <= set(each.float_layers) for each in other)


def test_the_ranking_has_every_layer_the_most_sensitive_first() -> None:
    plan = found(Model(noise={"conv7": 8.0, "conv11": 6.0}, gain={"product": 1}))
    names = [each.layer for each in plan.sensitivity]
    assert names[:2] == ["conv7", "conv11"]
    assert sorted(names) == sorted(x.name for x in LAYERS if x.operation in plan.operations)


def test_a_model_that_no_plan_improves_keeps_nothing_in_float() -> None:
    assert found(Model(noise={layer.name: 10.0 for layer in LAYERS})).float_layers == ()


def test_neighbours_share_an_evaluation_where_time_is_short() -> None:
    ticks = iter(range(1000))
    seen: list[int] = []
    result = rank_layers(
        candidates_of(Model(noise={"conv3": 9.0})),
        ("Conv",),
        "minmax",
        lambda done, planned: seen.append(done),
        budget_s=8,
        clock=lambda: float(next(ticks)),
    )
    assert len(result) == 20
    assert len(seen) < 12
    assert result[0].snr_db == min(each.snr_db for each in result)


def test_a_plan_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    plan = found(Model())
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan


def test_a_plan_of_schema_1_is_still_read() -> None:
    plan = read_plan(Path(__file__).parent / "data" / "plan-schema-1.json")
    assert plan.schema_version == 2
    assert plan.bias_correction and plan.gptq and plan.float_layers == ("conv0",)
    first, second = plan.candidates
    assert (first.speedup_vs_fp32, first.bias_correction, first.gptq) == (1.35, False, False)
    assert (second.speedup_vs_fp32, second.bias_correction, second.gptq) == (None, True, True)
    assert plan.sensitivity[0].layer == "conv0"


@pytest.mark.parametrize("name", ["times_fp32", "correct_biases", "compensate_weights"])
def test_names_of_schema_1_are_errors_in_schema_2(name: str, tmp_path: Path) -> None:
    document = found(Model()).model_dump(mode="json") | {name: True}
    (tmp_path / "plan.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=name):
        read_plan(tmp_path / "plan.json")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "onnx"}', "\x00", '{"schema_version": 1, "candidates": 3}'],
)
def test_a_broken_plan_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(UserError, match=r"plan\.json"):
        read_plan(tmp_path / "plan.json")


class Clock:
    """Time that passes only where it is made to."""

    def __init__(self) -> None:
        self.now, self.runs = 0.0, 0

    def __call__(self) -> float:
        return self.now

    def takes(self, *seconds: float) -> None:
        self.now += seconds[self.runs % len(seconds)]
        self.runs += 1


def test_the_ratio_is_that_of_the_durations() -> None:
    clock = Clock()
    ratio = speedup(lambda: clock.takes(0.002), lambda: clock.takes(0.005), seconds=1, clock=clock)
    assert ratio == pytest.approx(2.5)


def test_another_process_on_the_core_does_not_count() -> None:
    clock, other = Clock(), Clock()

    def disturbed() -> None:
        before = other.now
        other.takes(0.002, 0.009, 0.002)
        clock.now += other.now - before

    ratio = speedup(disturbed, lambda: clock.takes(0.004), seconds=1, clock=clock)
    assert ratio == pytest.approx(2)


def test_biases_are_corrected_where_that_is_worth_a_decibel() -> None:
    assert found(Model(corrects_biases=True, bias_db=1.5)).bias_correction
    assert not found(Model(corrects_biases=True, bias_db=0.5)).bias_correction


def test_biases_stay_where_the_quantizer_cannot_correct_them() -> None:
    plan = found(Model(bias_db=5))
    assert not plan.bias_correction
    assert not any(candidate.bias_correction for candidate in plan.candidates)


def test_biases_are_corrected_before_a_layer_is_left_in_float() -> None:
    noisy = {f"conv{i}": 1.5 for i in range(20)}
    plan = found(Model(noise=noisy, timed=False, corrects_biases=True, bias_db=15))
    assert plan.bias_correction and plan.float_layers == ()
    assert found(Model(noise=noisy, timed=False)).float_layers


def test_speed_is_measured_without_correction_and_only_the_fastest_is_corrected() -> None:
    noisy = {f"conv{i}": 1.5 for i in range(20)}
    slow = {f"conv{i}": -0.1 for i in range(3)}
    plan = found(Model(noise=noisy, gain=slow, corrects_biases=True, bias_db=15))
    assert plan.bias_correction and set(plan.float_layers) == set(slow)
    timed = [each for each in plan.candidates if each.speedup_vs_fp32 is not None]
    assert timed and not any(each.bias_correction for each in timed)
    assert sum(each.bias_correction for each in plan.candidates) == 2
