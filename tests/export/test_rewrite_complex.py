"""Complex numbers as pairs: each transform, and what is computed between two of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import lolvit
from lolvit_export.rewrites.complex_to_pairs import ComplexToPairs
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

sides = st.integers(2, 9)
norms = st.sampled_from([None, "backward", "ortho", "forward"])
sizes = st.none() | st.integers(2, 11)


def is_real(forward: Callable[[Any, Tensor], Any], size: tuple[int, int], **parts: Any) -> None:
    graph, record = rewritten(ComplexToPairs(), Model(forward, **parts), size)
    assert record.applied and not record.match_failures
    assert not any("fft" in name or "complex" in name for name in operations(graph))


@some_shapes
@given(sides, sides, norms, sizes, st.sampled_from([-1, 2, 3]))
def test_along_one_axis(height: int, width: int, norm: str, size: int, axis: int) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        there = torch.fft.fft(x, size, axis, norm) * (2 - 1j)
        back = torch.fft.ifft(there, dim=axis, norm=norm)
        return torch.view_as_real(back).flatten(3)

    is_real(forward, (height, width))


@some_shapes
@given(sides, sides, norms, sizes, st.sampled_from([-1, 2, 3]))
def test_real_along_one_axis(height: int, width: int, norm: str, size: int, axis: int) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        there = torch.fft.rfft(x, size, axis, norm)
        return torch.fft.irfft(there * there, size or x.shape[axis], axis, norm)

    is_real(forward, (height, width))


@some_shapes
@given(sides, sides, norms, st.booleans(), st.sampled_from(["2", "n"]))
def test_along_two_axes(height: int, width: int, norm: str, given: bool, name: str) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        axes: Any = {} if name == "2" else {"dim": (3, 2)}
        size = (height + 1, max(width - 1, 3)) if given else None
        there = getattr(torch.fft, f"rfft{name}")(x, size, norm=norm, **axes)
        full = getattr(torch.fft, f"fft{name}")(x, size, norm=norm, **axes)
        there, full = there + there.conj(), torch.fft.fftshift(full, (2, 3)).roll(1, 3)
        back: Tensor = getattr(torch.fft, f"irfft{name}")(there, norm=norm, **axes)
        inverse = getattr(torch.fft, f"ifft{name}")(full / full.mean(1, keepdim=True), norm=norm)
        return torch.cat([back.flatten(1), inverse.real.flatten(1), inverse.imag.flatten(1)], 1)

    is_real(forward, (height, width))


def test_all_axes_are_those_of_the_sizes_or_all() -> None:
    is_real(lambda m, x: torch.fft.rfftn(x, (4, 5)).abs(), (6, 7))
    is_real(lambda m, x: torch.fft.fftn(x).abs(), (6, 7))


def test_arithmetic_of_complex_numbers() -> None:
    def forward(module: Any, x: Tensor) -> Tensor:
        z = torch.complex(x, x.roll(1, 1)) + 3
        w = torch.polar(x.exp(), x) - z / 2
        z = torch.cat([z * w, x / w, (z - x), -w.conj(), torch.view_as_complex(module.table)], 1)
        z = torch.fft.ifftshift(z[:, 1:].permute(0, 2, 3, 1).reshape(1, -1, 12), 1)
        return torch.stack(
            [z.abs(), z.angle(), z.real, z.imag, (x * z[0, 0, 0]).sum().abs() + z.real]
        )

    table = torch.randn(1, 1, 6, 8, 2)

    def whole(module: Any, x: Tensor) -> Tensor:
        return forward(module, x).unsqueeze(0)

    is_real(whole, (6, 8), table=table)


def test_frequencies_that_are_written_in_place() -> None:
    def forward(module: Any, x: Tensor) -> Tensor:  # arXiv 2010.08895
        there = torch.fft.rfft2(x)
        mixed = torch.zeros(1, 2, 6, 5, dtype=torch.cdouble)
        mixed[:, :, :3, :2] = (
            there[:, :, :3, :2].permute(0, 2, 3, 1).matmul(module.mix).movedim(-1, 1)
        )
        mixed[:, 0, -1] = there[:, 0, 0]
        return torch.fft.irfft2(mixed, s=(6, 8))

    is_real(forward, (6, 8), mix=torch.randn(3, 2, dtype=torch.cdouble))


def test_what_is_not_known_stays_complex() -> None:
    model = Model(lambda m, x: torch.fft.fft(x).exp().sqrt().abs())
    _, record = rewritten(ComplexToPairs(), model)
    reasons = [line.split(": ", 1)[1] for line in record.match_failures]
    assert reasons == [
        "aten.exp.default of complex numbers is not known",
        "aten.sqrt.default of complex numbers is not known",
        "it reads what was left complex",
    ]


def test_a_graph_of_real_numbers_is_left_alone() -> None:
    assert match_failures(ComplexToPairs(), Model(lambda m, x: x.relu() * 2)) == []


class GlobalFilter(nn.Module):
    """Multiplies a map's frequencies by learned ones (GFNet, arXiv 2107.00645)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.filter = nn.Parameter(torch.randn(8, 12, 9, 2))
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv(image)
        frequencies = torch.fft.rfft2(x, norm="ortho") * torch.view_as_complex(self.filter)
        return self.head(
            torch.fft.irfft2(frequencies, x.shape[2:], norm="ortho").relu().mean((2, 3))
        )


@pytest.mark.slow
def test_a_network_of_filters_reaches_every_format(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = lolvit.export(
        GlobalFilter(), size=(24, 32), targets="onnx,tflite,coreml", out=tmp_path
    )
    assert len(exported.manifest.artifacts) == 3
    assert all(
        gate.value > 100
        for each in exported.manifest.artifacts
        for gate in each.gates
        if gate.name.endswith("snr_db")
    )
