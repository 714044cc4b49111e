"""The reason that a converter's long message gives, as one line."""

from __future__ import annotations

import pytest

from lolvit_export.lowering.failures import conversion_failure

FRAME = """Traceback (most recent call last):
  File "/lib/coremltools/converters/mil/frontend/torch/ops.py", line 200, in convert_nodes
    {code}
{raised}
"""

TEXTS = {
    "the message, not the line that raises it": (
        FRAME.format(
            code='raise NotImplementedError(f"Unsupported fx node {str(node)}, kind {kind}")',
            raised="NotImplementedError: Unsupported fx node celu, kind celu",
        ),
        "NotImplementedError: Unsupported fx node celu, kind celu",
    ),
    "the operation, not the hint at torch's logs": (
        FRAME.format(
            code='raise RuntimeError(f"Lowering not found: {target}")',
            raised="RuntimeError: Lowering not found: aten.median.dim\n\nWhile executing %median :"
            " [num_users=1]\nUse tlparse to see full graph. (https://github.com/pytorch/tlparse)",
        ),
        "RuntimeError: Lowering not found: aten.median.dim",
    ),
    "the exception behind that of torch's ONNX exporter": (
        FRAME.format(
            code="raise _errors.ConversionError(",
            raised="torch.onnx._internal.exporter._errors.ConversionError: Failed to decompose the"
            " FX graph. \x1b[96mThis is step 2/3\x1b[0m of exporting the model. Next steps:\n"
            "- Create an issue\n## Exception summary\n\n"
            "<class 'torch.fx.Odd'>: Cannot view a tensor with strides (2, 1)!\n\nWhile executing",
        ),
        "Odd: Cannot view a tensor with strides (2, 1)!",
    ),
    "an error without a known pattern": (
        FRAME.format(
            code="values[0]",
            raised="ValueError: Pad mode should be one of {'constant'}\n\nUse tlparse to see it.",
        ),
        "ValueError: Pad mode should be one of {'constant'}",
    ),
}


@pytest.mark.parametrize(("text", "reason"), TEXTS.values(), ids=TEXTS)
def test_the_reason_is_the_converters_own(text: str, reason: str) -> None:
    assert conversion_failure(RuntimeError(text)) == reason


def test_a_bug_of_this_package_has_no_reason() -> None:
    text = FRAME.replace("/lib/coremltools/", "/lib/lolvit_export/").format(
        code="raise KeyError(name)", raised="KeyError: 'name'"
    )
    assert conversion_failure(RuntimeError(text)) is None
