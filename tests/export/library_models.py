"""Which networks of torchvision and transformers reach which format: small ones, random weights.

`python -m tests.export.library_models [--to onnx,tflite,coreml] [NAME ...]`, or
`make library-models` for all, exports and verifies each, and prints a line for each: the SNR
against eager PyTorch in dB, or why there is no artifact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchvision
import transformers
from torch import nn

from tests.export.survey import Outcome, command, exported

Build = Callable[[], tuple[nn.Module, int]]  # the network, and the side of its images


def _torchvision(name: str, size: int = 96, **options: Any) -> Build:
    return lambda: (torchvision.models.get_model(name, weights=None, **options), size)


def _transformers(name: str, family: str, size: int = 64, **options: Any) -> Build:
    """Return how to make the class `name` with the configuration of its family."""
    configuration = f"{family}Config"
    return lambda: (
        getattr(transformers, name)(getattr(transformers, configuration)(**options)),
        size,
    )


_VIT: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "image_size": 64, "patch_size": 16,
}  # fmt: skip
_STAGES: dict[str, Any] = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
_WINDOWS: dict[str, Any] = {
    "image_size": 64, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4,
}  # fmt: skip
_NO_BACKBONE: dict[str, Any] = {"weights_backbone": None, "num_classes": 5}

MODELS: dict[str, Build] = {
    "torchvision shufflenet_v2_x0_5": _torchvision("shufflenet_v2_x0_5"),
    "torchvision googlenet": _torchvision("googlenet", init_weights=False),
    "torchvision swin_v2_t": _torchvision("swin_v2_t"),
    "torchvision lraspp_mobilenet_v3_large": _torchvision(
        "lraspp_mobilenet_v3_large", **_NO_BACKBONE
    ),
    "torchvision deeplabv3_mobilenet_v3_large": _torchvision(
        "deeplabv3_mobilenet_v3_large", **_NO_BACKBONE
    ),
    "MobileViT": _transformers(
        "MobileViTForImageClassification", "MobileViT", image_size=64,
        hidden_sizes=[32, 48, 64], neck_hidden_sizes=[8, 16, 16, 24, 32, 48, 64],
    ),
    "MobileViTV2": _transformers(
        "MobileViTV2ForImageClassification", "MobileViTV2", image_size=64, width_multiplier=0.5
    ),
    "ViT": _transformers("ViTForImageClassification", "ViT", **_VIT),
    "Dinov2": _transformers(
        "Dinov2ForImageClassification", "Dinov2", size=70, image_size=70, patch_size=14,
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    ),
    "CLIP": _transformers(
        "CLIPVisionModelWithProjection", "CLIPVision", projection_dim=16, **_VIT
    ),
    "Segformer": _transformers(
        "SegformerForSemanticSegmentation", "Segformer", size=128, num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=32, num_labels=5, **_STAGES,
    ),
    "ConvNext": _transformers("ConvNextForImageClassification", "ConvNext", **_STAGES),
    "ConvNextV2": _transformers("ConvNextV2ForImageClassification", "ConvNextV2", **_STAGES),
    "Swin": _transformers("SwinForImageClassification", "Swin", **_WINDOWS),
    "Swinv2": _transformers("Swinv2ForImageClassification", "Swinv2", **_WINDOWS),
    "Levit": _transformers(
        "LevitForImageClassification", "Levit", image_size=64, hidden_sizes=[32, 48, 64],
        num_attention_heads=[2, 2, 2], depths=[1, 1, 1], key_dim=[8, 8, 8], mlp_ratio=[2, 2, 2],
        attention_ratio=[2, 2, 2],
    ),
    "FocalNet": _transformers(
        "FocalNetForImageClassification", "FocalNet", image_size=64, embed_dim=16, depths=[1, 1],
        focal_levels=[2, 2], focal_windows=[3, 3], hidden_sizes=[16, 32],
    ),
    "SwiftFormer": _transformers(
        "SwiftFormerForImageClassification", "SwiftFormer", image_size=64, depths=[1, 1, 1, 1],
        embed_dims=[16, 24, 32, 48],
    ),
    "Yolos": _transformers(
        "YolosForObjectDetection", "Yolos", num_detection_tokens=10, num_labels=4,
        **(_VIT | {"image_size": [64, 64]}),
    ),
    "Detr": _transformers(
        "DetrForObjectDetection", "Detr", use_timm_backbone=True, backbone="resnet18",
        use_pretrained_backbone=False, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_ffn_dim=64, decoder_ffn_dim=64, encoder_attention_heads=2,
        decoder_attention_heads=2, num_queries=10,
    ),
}  # fmt: skip


def outcome(name: str, targets: tuple[str, ...]) -> Outcome:
    """Return by target the smallest SNR in dB, or why there is no artifact.

    Raises:
        LolvitError: the network cannot be exported to any target.
    """
    torch.manual_seed(0)
    model, size = MODELS[name]()
    return exported(
        model.eval(), targets, size=size, mean=(0.5,) * 3, std=(0.5,) * 3, trained=False
    )


if __name__ == "__main__":
    command(MODELS, outcome)()
