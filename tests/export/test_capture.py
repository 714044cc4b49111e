"""Capture: the graph gives what the model gives, whatever it writes in place, and nothing moves."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit.errors import UserError
from lolvit.models import create_model
from lolvit_export.capture import INPUT_NAME, capture, described_outputs, recapture, run_once
from lolvit_export.rewrites import STATIC_REWRITE, apply_all
from tests.export.rewriting import Model, image_like, nodes, operations, relative_error
from tests.lived_in import lived_in

Forward = Callable[[Any, Tensor], Tensor]


def reads_result_and_name(_: Any, x: Tensor) -> Tensor:
    x = x * 1
    y = x.relu_()
    return x + y


def writes_through_a_view(_: Any, x: Tensor) -> Tensor:
    x = x * 1
    x[:, :1].mul_(3)
    return x + 1


def writes_under_an_older_view(_: Any, x: Tensor) -> Tensor:
    x = x * 1
    older = x[:, :1]
    x.relu_()
    return older - x


def returns_an_older_view(_: Any, x: Tensor) -> Tensor:
    x = x * 1
    flat = x.view(1, -1)
    x.mul_(2)
    return flat


def writes_a_chunk(_: Any, x: Tensor) -> Tensor:
    x = x * 1
    x.chunk(3, 1)[1].add_(1)
    return x.sum(1)


def assigns_to_a_slice(_: Any, x: Tensor) -> Tensor:
    x = x * 1
    x[:, 0] = 0
    x += 2
    return F.relu(x, inplace=True) * x


def assigns_by_mask(_: Any, x: Tensor) -> Tensor:
    x = x * 1
    x[x > 0.5] = 2
    return x


def fills_an_empty_tensor(_: Any, x: Tensor) -> Tensor:
    result = torch.zeros_like(x)
    result[..., 1:] = x[..., 1:]
    result[..., 0].copy_(x[..., 1])
    return result


def writes_into_its_input(_: Any, x: Tensor) -> Tensor:
    first = x[:, :1]
    x.mul_(2)
    return first + x


def counts_in_a_buffer(model: Any, x: Tensor) -> Tensor:
    part = model.count[:1]
    model.count += 1
    part.mul_(2)
    return model.norm(x) * model.count


def views_a_copy(_: Any, x: Tensor) -> Tensor:
    return (
        x.permute(0, 2, 1, 3).contiguous().view(1, -1, 4).transpose(1, 2).contiguous().view(1, -1)
    )


IN_PLACE: list[Forward] = [
    reads_result_and_name,
    writes_through_a_view,
    writes_under_an_older_view,
    returns_an_older_view,
    writes_a_chunk,
    assigns_to_a_slice,
    assigns_by_mask,
    fills_an_empty_tensor,
    writes_into_its_input,
    counts_in_a_buffer,
]


def model_of(forward: Forward) -> Model:
    return Model(forward, count=torch.ones(3, 1, 1), norm=nn.BatchNorm2d(3))


@pytest.mark.parametrize("forward", [*IN_PLACE, views_a_copy], ids=lambda f: f.__name__)
def test_the_graph_equals_the_model_before_and_after_the_rewrite(forward: Forward) -> None:
    model = model_of(forward)
    state = copy.deepcopy(model.state_dict())
    graph = capture(model, (6, 4))
    static, _ = apply_all(STATIC_REWRITE, graph)
    image = image_like(graph)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        captured, rewritten = graph(image), static(image)
        expected = model(image.clone())  # last, because it may change buffers and its input
    assert relative_error(captured, expected) <= 1e-12
    assert relative_error(rewritten, expected) <= 1e-10


@pytest.mark.parametrize("forward", IN_PLACE, ids=lambda f: f.__name__)
def test_no_operation_writes_in_place(forward: Forward) -> None:
    graph = capture(model_of(forward), (6, 4)).graph
    schemas = [node.target._schema for node in graph.nodes if hasattr(node.target, "_schema")]
    assert schemas and not any(schema.is_mutable for schema in schemas)


def test_batch_norm_stays_whole_where_writes_had_to_be_undone() -> None:
    assert "batch_norm" in operations(capture(model_of(counts_in_a_buffer), (6, 4)))


def test_in_place_activations_are_renamed_without_another_trace() -> None:
    model = Model(lambda m, x: F.silu(m.conv(x), inplace=True) * 2, conv=nn.Conv2d(3, 4, 1))
    assert operations(capture(model, (4, 4))) == ["conv2d", "silu", "mul"]


@pytest.mark.parametrize("name", ["lolvit_xx", "mobilevit_xxs"])
def test_a_whole_model_is_captured_as_it_is(name: str) -> None:
    torch.manual_seed(0)
    model = lived_in(create_model(name, num_classes=7).double())
    graph = capture(model, (64, 96))
    with torch.no_grad():
        image = image_like(graph)
        assert relative_error(graph(image), model(image)) <= 1e-12
    assert [shape for _, shape, _ in described_outputs(graph)] == [(1, 7)]


def test_the_input_has_its_published_name_and_the_size_asked_for() -> None:
    graph = capture(Model(lambda m, anything: anything * 2), (5, 7), in_chans=2)
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    assert [node.target for node in placeholders] == [INPUT_NAME]
    assert tuple(placeholders[0].meta["val"].shape) == (1, 2, 5, 7)


def test_every_value_has_a_static_shape() -> None:
    graph = capture(create_model("lolvit_xx").eval(), (64, 64))
    for node in graph.graph.nodes:
        if node.op != "output":
            values = node.meta["val"]
            for value in values if isinstance(values, list | tuple) else [values]:
                assert all(isinstance(extent, int) for extent in value.shape)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_the_image_has_the_models_own_type(dtype: torch.dtype) -> None:
    graph = capture(nn.Conv2d(3, 4, 1).to(dtype), (4, 4))
    assert nodes(graph, "conv2d")[0].meta["val"].dtype == dtype


def test_a_model_in_training_mode_is_captured_in_eval_mode_and_keeps_its_modes() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.BatchNorm2d(3)).train()
    model[2].eval()
    graph = capture(model, (4, 4))
    assert [part.training for part in model] == [True, True, False]
    assert [node.args[5] for node in nodes(graph, "batch_norm")] == [False, False]


class BranchesOnValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_modes_are_kept_also_when_capture_fails() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(0.5), BranchesOnValues()).train()
    with pytest.raises(UserError, match="Sequential: cannot be captured at 8x6: "):
        capture(model, (8, 6))
    assert model.training and model[1].training


def test_modes_are_kept_also_when_the_model_does_not_run() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Dropout(0.5)).train()
    with pytest.raises(UserError, match=r"Sequential: cannot run on an image \(1, 3, 8, 6\): "):
        capture(model, (8, 6))
    assert model.training and model[1].training


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (lambda: torchvision.models.video.r3d_18(weights=None), "Conv3d, takes video or volumes"),
        (lambda: nn.Sequential(nn.Conv1d(40, 8, 3), nn.ReLU()), "Conv1d, takes sequences"),
        (lambda: nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 2)), "Embedding, takes tokens"),
    ],
)
def test_a_model_of_something_else_than_images_is_named_as_such(
    network: Callable[[], nn.Module], what: str
) -> None:
    image = torch.zeros(1, 3, 64, 64)
    with pytest.raises(UserError, match="cannot run on an image") as error:
        run_once(network().eval(), image, "a model")
    assert error.value.remedy is not None and what in error.value.remedy


def test_a_branch_on_the_values_is_a_user_error() -> None:
    model = Model(lambda m, x: x if x.sum() > 0 else -x)
    with pytest.raises(UserError) as caught:
        capture(model, (4, 4))
    line = caught.value.line()
    assert line.startswith("Model: cannot be captured at 4x4: ") and "\n" not in line


def test_a_size_that_the_model_can_not_take_is_a_user_error() -> None:
    with pytest.raises(UserError, match="try another size, such as a multiple of 32"):
        capture(timm.create_model("swin_tiny_patch4_window7_224"), (40, 40))


def test_a_rewritten_graph_is_captured_again() -> None:
    model = lived_in(create_model("lolvit_xx").double())
    graph, _ = apply_all(STATIC_REWRITE, capture(model, (64, 64)))
    image = image_like(graph)
    with torch.no_grad():
        assert relative_error(recapture(graph).module()(image), model(image)) <= 1e-10
