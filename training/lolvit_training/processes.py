"""The processes that torchrun starts, or this one alone: gloo between CPUs, nccl between GPUs."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

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
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if count > 1:
        try:
            store = PrefixStore(f"restart-{_restarts()}", next(rendezvous("env://"))[0])
            dist.init_process_group(
                "nccl" if gpu else "gloo", store=store, rank=rank, world_size=count
            )
        except (RuntimeError, ValueError) as error:
            raise DeviceError(
                f"process {rank} of {count} finds no others: {error}",
                remedy="start all of them by torchrun",
            ) from error
    try:
        yield Processes(rank, count, device, restarted=_restarts() > 0)
    except RuntimeError as error:
        if count > 1 and _is_of_transport(error):
            raise DeviceError(
                f"process {rank} of {count} lost another one: {error}",
                remedy="see what that one said; torchrun --max-restarts N starts all again",
            ) from error
        raise
    finally:
        if count > 1:
            _leave()


def _leave() -> None:
    """Leave the group, as its last holder. Where DistributedDataParallel, whose parts refer to each
    other, is freed after it, Python's lock is held while gloo's threads are waited for, and one of
    them may be waiting for that lock: the process then never ends."""
    gc.collect()
    dist.destroy_process_group()


def _restarts() -> int:
    """Return how often torchrun has restarted the processes. Its store outlives a restart, with the
    addresses of the processes that are gone: each attempt needs names of its own in it."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def _is_of_transport(error: RuntimeError) -> bool:
    """Whether gloo or nccl says that a process is gone; gloo has no type of its own for it."""
    return isinstance(error, dist.DistBackendError) or "gloo" in str(error).lower()
