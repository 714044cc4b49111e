"""Eager PyTorch: what every artifact is compared with."""

from __future__ import annotations

import torch
from torch import nn

from lolvit_runtimes.session import FloatArray


class EagerSession:
    """A module, run on the CPU as it is. It is opened from a module, for it has no artifact."""

    runtime = "eager"
    version = torch.__version__

    def __init__(self, module: nn.Module, *, threads: int = 1) -> None:
        """Wrap a module in eval mode that takes one normalised NCHW image.

        Raises:
            ValueError: the module is in training mode.
        """
        if module.training:
            raise ValueError("call module.eval() first: BatchNorm would use the batch's statistics")
        self._module, self._threads = module, threads
        self._threads_before = torch.get_num_threads()

    def run(self, image: FloatArray) -> FloatArray:
        """Return logits of shape (1, classes) for one normalised image of shape (1, 3, H, W)."""
        if torch.get_num_threads() != self._threads:  # torch keeps one number for the process
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            logits: FloatArray = self._module(torch.from_numpy(image)).float().numpy()
        return logits

    def placement(self) -> dict[str, int]:
        """Return {}: eager PyTorch has no graph to count."""
        return {}

    def options(self) -> dict[str, str]:
        """Return the number of threads."""
        return {"threads": str(self._threads)}

    def close(self) -> None:
        """Give back the process's number of threads, and forget the module."""
        torch.set_num_threads(self._threads_before)
        del self._module
