"""The processes that torchrun starts, or this one alone: gloo between CPUs, nccl between GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from lolvit.errors import DeviceError


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is, and the device that it computes on."""

    rank: int
    count: int
    device: torch.device
    restarted: bool

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and tells."""
        return self.rank == 0

    def share(self, indices: list[int]) -> list[int]:
        """Return this process's part of `indices`: each is in exactly one."""
        return indices[self.rank :: self.count]

    def total(self, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sum over all processes."""
        if self.count == 1:
            return counts
        tensor = torch.from_numpy(counts.copy()).to(self.device)
        dist.all_reduce(tensor)
        result: npt.NDArray[np.float64] = tensor.cpu().numpy()
        return result


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Join the processes that torchrun started for the block; alone where it started none.

    Raises:
        DeviceError: the others are not there.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if count > 1:
        try:
            dist.init_process_group("nccl" if gpu else "gloo")
        except (RuntimeError, ValueError) as error:
            raise DeviceError(
                f"process {rank} of {count} finds no others: {error}",
                remedy="start all of them by torchrun",
            ) from error
    try:
        yield Processes(rank, count, device, restarted)
    finally:
        if count > 1:
            dist.destroy_process_group()
