"""What litert-torch gets wrong by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from tests.export import small_net


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_weights_of_one_shape_keep_their_values_whatever_their_strides(
    layout: torch.memory_format, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    layers = [layer for _ in range(6) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), *layers, *pooled).eval()
    artifact = small_net.lower(model.to(memory_format=layout), "tflite", tmp_path)
    interpreter = Interpreter(str(tmp_path / artifact.path))
    interpreter.allocate_tensors()
    image = torch.rand(1, *interpreter.get_input_details()[0]["shape"][1:])
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image.numpy())
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    with torch.no_grad():
        expected = model(image.permute(0, 3, 1, 2)).numpy()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
