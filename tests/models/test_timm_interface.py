"""What timm and its users rely on in every model: the whole of timm's model interface."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from timm.models import group_parameters
from timm.optim import create_optimizer_v2, param_groups_layer_decay
from torch import Tensor, nn

from lolvit.models import VARIANTS, Lolvit, create_model
from lolvit.models.loading import load_checkpoint
from tests.guides import DOCS, blocks_of
from tests.lived_in import lived_in

SMALLEST = "lolvit_xx"
STRIDES = (4, 8, 16, 32)
CHECKPOINT = "lolvit_xx.digits"

# Logits that the shipped checkpoint gave when it was released, for the image of `sine_image`.
LOGITS = [
    [-0.807726744365, -10.438652858329, -10.999377018151, 3.513339700727, -7.729799106732],
    [-2.081414742199, -0.407332752662, -4.984236427076, -4.081534349077, 16.192640189236],
    [6.762661249361, -12.59268009214, -15.705057658545, 1.043934700372, -1.063279755204],
    [-5.264732153888, -0.950366883761, 1.692241842896, -8.594088592835, 9.536204298135],
]

every_variant = pytest.mark.parametrize("name", VARIANTS)


def made(name: str, **options: Any) -> Lolvit:
    """Return timm's model, as after training: no residual branch is zero."""
    torch.manual_seed(0)
    model = timm.create_model(name, **options)
    return lived_in(model)


def images(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def sine_image() -> Tensor:
    """Return an image (2, 3, 96, 64) that no version of a random generator changes."""
    return torch.sin(torch.arange(2 * 3 * 96 * 64, dtype=torch.float64) * 0.01).reshape(
        2, 3, 96, 64
    )


def gradients(model: nn.Module, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the logits of a training step and the gradient of each parameter."""
    model.zero_grad()
    torch.manual_seed(0)  # of dropout and stochastic depth
    logits = model.train()(image)
    logits.square().mean().backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}


@every_variant
def test_the_default_size_gives_logits_and_maps_of_the_stated_pool_size(name: str) -> None:
    model = made(name)
    size = model.default_cfg["input_size"]
    with torch.inference_mode():
        features = model.forward_features(images(1, *size))
        logits = model(images(1, *size))
    assert logits.shape == (1, model.default_cfg["num_classes"])
    assert bool(torch.isfinite(logits).all())
    assert tuple(features.shape[-2:]) == model.default_cfg["pool_size"]


@every_variant
def test_the_configuration_names_modules_that_exist_and_sizes_that_fit(name: str) -> None:
    model = made(name)
    config = model.pretrained_cfg
    assert config is model.default_cfg and config["architecture"] == name
    assert len(config["input_size"]) == len(config["min_input_size"]) == 3
    assert len(config["mean"]) == len(config["std"]) == 3
    assert 0 < config["crop_pct"] <= 1 and config["interpolation"] == "bicubic"
    assert not config["fixed_input_size"]
    classifier = model.get_submodule(config["classifier"])
    assert classifier is model.get_classifier()
    assert classifier.weight.shape == (config["num_classes"], model.num_features)
    first = model.get_submodule(config["first_conv"])
    assert isinstance(first, nn.Conv2d) and first.in_channels == config["input_size"][0]
    assert first is next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    with torch.inference_mode():
        assert model(images(1, *config["min_input_size"])).shape == (1, 1000)


@every_variant
def test_head_and_features_together_are_the_model(name: str) -> None:
    model = made(name)
    image = images(2, 3, 67, 99)
    with torch.inference_mode():
        features = model.forward_features(image)
        pooled = model.forward_head(features, pre_logits=True)
        assert features.shape == (2, model.num_features, 3, 4)
        assert pooled.shape == (2, model.head_hidden_size)
        assert torch.equal(model.forward_head(features), model(image))
        assert torch.equal(model.get_classifier()(pooled), model(image))


@every_variant
def test_double_precision_agrees_with_single(name: str) -> None:
    model, image = made(name), images(1, 3, 64, 96, dtype=torch.float64)
    with torch.inference_mode():
        single = model(image.float())
        double = model.double()(image)
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_a_model_is_created_in_any_data_type_on_any_device(dtype: torch.dtype) -> None:
    model = timm.create_model(SMALLEST, dtype=dtype, device="meta")
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert {t.device.type for t in model.state_dict().values()} == {"meta"}
    model.reset_classifier(7)
    assert model.head.weight.dtype == dtype and model.head.weight.is_meta


def test_a_model_from_the_meta_device_is_initialised_as_any_other() -> None:
    torch.manual_seed(0)
    expected = timm.create_model(SMALLEST)
    model = timm.create_model(SMALLEST, device="meta").to_empty(device="cpu")
    for tensor in model.state_dict().values():
        tensor.fill_(3)
    torch.manual_seed(0)
    model.init_weights()
    wanted = expected.state_dict()
    fixed = {n: t for n, t in model.state_dict().items() if ".norm." in n or n == "head.bias"}
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in fixed.items())
    for name in {*wanted} - {*fixed}:
        assert float(model.state_dict()[name].std()) == pytest.approx(
            float(wanted[name].std()), rel=0.5
        )


@every_variant
@pytest.mark.parametrize("zero_init_last", [True, False])
def test_residual_branches_start_as_zero_by_default(name: str, zero_init_last: bool) -> None:
    model = timm.create_model(name, zero_init_last=zero_init_last)
    zeros = [n for n, p in model.named_parameters() if n.endswith("norm.weight") and not p.any()]
    blocks = [m for m in model.modules() if hasattr(m, "zero_init_last")]
    last = (".mix.norm.weight", ".project.primary.norm.weight", ".project.cheap.norm.weight")
    expected = [n for n, _ in model.named_parameters() if n.endswith(last)]
    assert len(blocks) > 0 and zeros == (expected if zero_init_last else [])


# Gradient checkpointing


def test_gradient_checkpointing_changes_neither_outputs_nor_gradients() -> None:
    model = made(SMALLEST, num_classes=5, drop_path_rate=0.2, drop_rate=0.2).double()
    image = images(2, 3, 64, 64, dtype=torch.float64)
    plain = copy.deepcopy(model)
    model.set_grad_checkpointing()
    logits, found = gradients(model, image)
    expected_logits, expected = gradients(plain, image)
    assert torch.equal(logits, expected_logits)
    assert found.keys() == expected.keys()
    for parameter, gradient in expected.items():
        torch.testing.assert_close(found[parameter], gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "run",
    [lambda m, x: m(x), lambda m, x: m.forward_intermediates(x)[0].mean()],
    ids=["forward", "forward_intermediates"],
)
def test_gradient_checkpointing_computes_blocks_again(run: Callable[[Any, Tensor], Tensor]) -> None:
    model = made(SMALLEST).train()
    calls: list[nn.Module] = []
    blocks = [block for stage in model.stages for block in stage]
    for block in blocks:
        block.register_forward_pre_hook(lambda module, *_: calls.append(module))
    for enable, times in ((True, 2), (False, 1)):
        calls.clear()
        model.set_grad_checkpointing(enable)
        run(model, images(2, 3, 64, 64)).sum().backward()
        assert all(calls.count(block) == times for block in blocks)


# The classifier


@every_variant
@pytest.mark.parametrize("classes", [7, 0])
def test_reset_classifier_gives_a_fresh_head(name: str, classes: int) -> None:
    model = made(name).double()
    features = model.forward_features(images(2, 3, 64, 64, dtype=torch.float64))
    model.reset_classifier(classes)
    assert model.num_classes == classes and not model.head.training
    if classes:
        assert model.head.weight.shape == (7, model.num_features)
        assert model.head.weight.dtype == torch.float64 and not model.head.bias.any()
        assert 0 < float(model.head.weight.detach().std()) < 0.04  # a truncated normal of 0.02
    else:
        assert isinstance(model.get_classifier(), nn.Identity)
    assert model.forward_head(features).shape == (2, classes or model.num_features)


@pytest.mark.parametrize(
    ("global_pool", "pool", "factor"),
    [
        ("avg", lambda x: x.mean((2, 3)), 1),
        ("max", lambda x: x.amax((2, 3)), 1),
        ("avgmax", lambda x: (x.mean((2, 3)) + x.amax((2, 3))) / 2, 1),
        ("catavgmax", lambda x: torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1), 2),
    ],
)
def test_pooling_is_chosen_at_creation_or_later(
    global_pool: str, pool: Callable[[Tensor], Tensor], factor: int
) -> None:
    created = made(SMALLEST, num_classes=4, global_pool=global_pool)
    changed = made(SMALLEST)
    changed.reset_classifier(4, global_pool)
    kept = made(SMALLEST, global_pool=global_pool)
    kept.reset_classifier(4)
    features = torch.randn(2, created.num_features, 3, 5)
    for model in (created, changed, kept):
        pooled = model.forward_head(features, pre_logits=True)
        torch.testing.assert_close(pooled, pool(features))
        assert model.head_hidden_size == pooled.shape[1] == model.num_features * factor
        assert model.forward_head(features).shape == (2, 4)


@every_variant
def test_without_pooling_and_classifier_the_features_are_left(name: str) -> None:
    created = made(name, num_classes=0, global_pool="")
    changed = made(name)
    changed.reset_classifier(0, "")
    changed.load_state_dict(created.state_dict())
    image = images(1, 3, 64, 96)
    with torch.inference_mode():
        for model in (created, changed):
            assert torch.equal(model(image), changed.forward_features(image))
            assert model(image).shape == (1, model.num_features, 2, 3)


def test_a_classifier_without_pooling_is_rejected_and_leaves_the_model_as_it_was() -> None:
    with pytest.raises(ValueError, match="choose a pooling, or num_classes=0"):
        timm.create_model(SMALLEST, global_pool="")
    model = made(SMALLEST)
    with pytest.raises(ValueError, match="the classifier of 7 classes"):
        model.reset_classifier(7, "")
    assert model.num_classes == 1000 and model(images(1, 3, 32, 32)).shape == (1, 1000)


def test_drop_rate_drops_pooled_features_in_training_alone() -> None:
    model = made(SMALLEST, drop_rate=0.5)
    features = torch.ones(64, model.num_features, 1, 1)
    dropped = model.train().forward_head(features, pre_logits=True)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert torch.equal(model.eval().forward_head(features, pre_logits=True), features.flatten(1))


# Intermediate features


@every_variant
def test_intermediates_are_the_maps_of_features_only_and_the_final_features(name: str) -> None:
    model = made(name)
    listed = made(name, features_only=True)
    image = images(2, 3, 97, 64)
    with torch.inference_mode():
        final, maps = model.forward_intermediates(image)
        alone = model.forward_intermediates(image, intermediates_only=True)
        expected = listed(image)
        assert torch.equal(final, model.forward_features(image))
    assert len(maps) == len(alone) == len(expected) == 4
    for found, same, wanted, info in zip(maps, alone, expected, model.feature_info, strict=True):
        assert torch.equal(found, wanted) and torch.equal(same, wanted)
        stride = info["reduction"]
        # 97 is odd: the stem keeps whole patches of 2, downsampling rounds up
        assert found.shape == (2, info["num_chs"], -(-96 // stride), 64 // stride)


@pytest.mark.parametrize(
    ("indices", "taken"),
    [(None, [0, 1, 2, 3]), (1, [3]), (2, [2, 3]), ([0, 2], [0, 2]), ((-1, 1), [1, 3]), ([0], [0])],
    ids=str,
)
@pytest.mark.parametrize("stop_early", [True, False])
def test_indices_choose_intermediates(indices: Any, taken: list[int], stop_early: bool) -> None:
    model = made(SMALLEST)
    image = images(1, 3, 64, 64)
    with torch.inference_mode():
        every = model.forward_intermediates(image, intermediates_only=True)
        final, chosen = model.forward_intermediates(image, indices, stop_early=stop_early)
        whole = model.forward_features(image)
    assert all(torch.equal(a, every[i]) for a, i in zip(chosen, taken, strict=True))
    last = taken[-1] if stop_early else 3
    assert torch.equal(final, whole if last == 3 else every[last])


def test_norm_applies_the_final_activation_to_the_last_map_alone() -> None:
    model = made(SMALLEST)
    image = images(1, 3, 64, 64)
    with torch.inference_mode():
        final, plain = model.forward_intermediates(image)
        same, activated = model.forward_intermediates(image, norm=True)
    assert bool((plain[3] < 0).any())
    assert torch.equal(activated[3], final) and torch.equal(same, final)
    assert all(torch.equal(a, b) for a, b in zip(activated[:3], plain[:3], strict=True))


def test_stopping_early_computes_no_later_stage() -> None:
    model = made(SMALLEST)
    calls: list[int] = []
    for index, stage in enumerate(model.stages):
        stage.register_forward_hook(lambda *_, index=index: calls.append(index))
    model.forward_intermediates(images(1, 3, 64, 64), [1], stop_early=True)
    assert calls == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"indices": [4]}, AssertionError), ({"indices": 5}, AssertionError),
     ({"output_fmt": "NHWC"}, ValueError)],
)  # fmt: skip
def test_intermediates_that_do_not_exist_are_rejected(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"out of range|must be 'NCHW'"):
        made(SMALLEST).forward_intermediates(images(1, 3, 64, 64), **arguments)


@every_variant
@pytest.mark.parametrize("indices", [[0], [1, 2], 2, [-1]], ids=str)
def test_a_pruned_model_gives_the_same_intermediates(name: str, indices: Any) -> None:
    model = made(name)
    image = images(1, 3, 64, 64)
    with torch.inference_mode():
        expected = model.forward_intermediates(image, indices, intermediates_only=True)
        kept = model.prune_intermediate_layers(indices)
        found = model.forward_intermediates(image, kept, intermediates_only=True)
        final = model(image)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len(model.stages) == kept[-1] + 1 and isinstance(model.head, nn.Identity)
    assert model.num_classes == 0 and not model.stages.training
    width = VARIANTS[name].stages[kept[-1]].width
    assert model.num_features == model.head_hidden_size == final.shape[1] == width
    assert torch.equal(final, expected[-1].relu() if kept[-1] == 3 else expected[-1])


def test_pruning_keeps_the_head_of_a_whole_model_on_request() -> None:
    model = made(SMALLEST)
    image = images(1, 3, 64, 64)
    with torch.inference_mode():
        expected = model(image)
        assert model.prune_intermediate_layers([3], prune_head=False) == [3]
        assert torch.equal(model(image), expected)
        model.prune_intermediate_layers([3], prune_norm=True, prune_head=False)
        assert bool((model.forward_features(image) < 0).any())
    model.prune_intermediate_layers([2], prune_head=False)
    assert isinstance(model.head, nn.Identity)  # it was made for the last stage


@pytest.mark.parametrize("kind", ["list", "dict", "hook", "getter", "fx"])
def test_every_kind_of_timms_feature_extraction_gives_the_maps(kind: str) -> None:
    options = {"features_only": True, "out_indices": (1, -1), "feature_cls": kind}
    features = made(SMALLEST, **options)
    image = images(1, 3, 64, 96)
    with torch.inference_mode():
        expected = made(SMALLEST).forward_intermediates(image, [1, 3], intermediates_only=True)
        found = features(image)
    maps = list(found.values()) if isinstance(found, dict) else found
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))
    assert features.feature_info.channels() == [m.shape[1] for m in maps]
    assert features.feature_info.reduction() == [8, 32]


def test_feature_extraction_trains_with_gradient_checkpointing() -> None:
    features = made(SMALLEST, features_only=True).double()
    image = images(2, 3, 64, 64, dtype=torch.float64)
    found = []
    for enable in (True, False):
        features.set_grad_checkpointing(enable)
        features.zero_grad()
        sum(m.square().mean() for m in features.train()(image)).backward()
        found.append([p.grad.clone() for p in features.parameters()])
    for checkpointed, plain in zip(*found, strict=True):
        torch.testing.assert_close(checkpointed, plain, rtol=1e-10, atol=1e-12)


# Optimizers


@every_variant
@pytest.mark.parametrize("coarse", [True, False])
def test_each_parameter_is_in_one_group_from_stem_to_head(name: str, coarse: bool) -> None:
    model = made(name)
    groups = group_parameters(model, model.group_matcher(coarse))
    grouped = [parameter for group in groups.values() for parameter in group]
    assert sorted(grouped) == sorted(name for name, _ in model.named_parameters())
    assert {n.split(".")[0] for n in groups[0]} == {"stem"}
    assert {n.split(".")[0] for n in groups[max(groups)]} == {"head"}
    layers = len(model.stages) if coarse else sum(len(stage) for stage in model.stages)
    assert len(groups) == layers + 2
    order = list(model.state_dict())
    firsts = [min(map(order.index, groups[index])) for index in sorted(groups)]
    assert firsts == sorted(firsts)  # deeper layers have later groups


@every_variant
def test_layer_decay_scales_every_parameter_less_the_nearer_it_is_to_the_head(name: str) -> None:
    model = made(name)
    groups = param_groups_layer_decay(
        model, no_weight_decay_list=model.no_weight_decay(), layer_decay=0.5
    )
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    assert scale.keys() == {id(p) for p in model.parameters()}
    assert scale[id(model.head.weight)] == 1.0
    by_stage = [scale[id(next(stage.parameters()))] for stage in model.stages]
    assert 0 < scale[id(model.stem.patches.conv.weight)] < by_stage[0]
    assert by_stage == sorted(by_stage) and len(set(by_stage)) == 4


@every_variant
def test_weight_decay_leaves_out_norms_and_biases_and_what_the_model_names(name: str) -> None:
    model = made(name)
    excluded = model.no_weight_decay()
    assert isinstance(excluded, set) and excluded <= {n for n, _ in model.named_parameters()}
    optimizer = create_optimizer_v2(model, "adamw", lr=0.1, weight_decay=0.1, layer_decay=0.9)
    for group in optimizer.param_groups:
        assert all((p.ndim > 1) is (group["weight_decay"] > 0) for p in group["params"])
    model.train()(images(2, 3, 64, 64)).square().mean().backward()
    before = model.head.weight.detach().clone()
    optimizer.step()
    assert not torch.equal(model.head.weight, before)


# Input channels and checkpoints


@pytest.mark.parametrize("channels", [1, 4])
@every_variant
def test_the_first_convolution_takes_other_numbers_of_channels(name: str, channels: int) -> None:
    model = made(name, in_chans=channels)
    assert model.in_chans == channels
    assert model.get_submodule(model.default_cfg["first_conv"]).in_channels == channels
    with torch.inference_mode():
        assert model(images(2, channels, 64, 64)).shape == (2, 1000)


def test_the_shipped_checkpoint_loads_strictly_and_gives_the_logits_of_its_release() -> None:
    loaded = load_checkpoint(None, CHECKPOINT)
    model = create_model(SMALLEST, num_classes=10)
    model.load_state_dict(loaded.model.state_dict(), strict=True)
    with torch.inference_mode():
        for each in (model.eval(), loaded.model):
            logits = each.double()(sine_image())
            expected = torch.tensor(LOGITS, dtype=torch.float64).reshape(2, 10)
            torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("classes", "channels"), [(10, 3), (7, 3), (10, 1), (0, 4)])
def test_timm_loads_a_checkpoint_for_other_classes_and_channels(
    classes: int, channels: int
) -> None:
    state = load_checkpoint(None, CHECKPOINT).model.state_dict()
    model = timm.create_model(
        SMALLEST,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": dict(state), "num_classes": 10},
        num_classes=classes,
        in_chans=channels,
    )
    loaded = model.state_dict()
    changed = {n for n, t in state.items() if n not in loaded or not torch.equal(loaded[n], t)}
    expected = set() if classes == 10 else {"head.weight", "head.bias"}
    assert changed == expected | ({"stem.patches.conv.weight"} if channels != 3 else set())
    if channels == 1:  # a grey photo is one whose channels are equal
        grey = images(1, 1, 64, 64)
        whole = load_checkpoint(None, CHECKPOINT).model
        torch.testing.assert_close(model.eval()(grey), whole(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("kind", ["getter", "list"])
def test_timm_loads_a_checkpoint_into_feature_extraction(kind: str) -> None:
    whole = load_checkpoint(None, CHECKPOINT).model
    features = timm.create_model(
        SMALLEST,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": dict(whole.state_dict()), "num_classes": 10},
        features_only=True,
        feature_cls=kind,
    ).eval()
    image = images(1, 3, 64, 64)
    with torch.inference_mode():
        expected = whole.forward_intermediates(image, intermediates_only=True)
        assert all(torch.equal(a, b) for a, b in zip(features(image), expected, strict=True))


# Compilers


@every_variant
@pytest.mark.parametrize("training", [True, False])
def test_torch_export_captures_the_model(name: str, training: bool) -> None:
    model = made(name, num_classes=3).train(training)
    image = images(2, 3, 64, 96)
    program = torch.export.export(copy.deepcopy(model), (image,))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(image), model(image))


def test_the_example_of_the_page_about_the_paper_runs() -> None:
    (block,) = [b for b in blocks_of(DOCS / "paper.md") if b.language == "python"]
    names: dict[str, Any] = {}
    exec(compile(block.text, "paper.md", "exec"), names)
    assert names["model"].num_classes == 10
    assert [info["reduction"] for info in names["backbone"].feature_info.get_dicts()][-1] == 32
