"""The process group that torchrun starts, or a single process: gloo for CPUs, nccl for GPUs."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from lolvit.errors import DeviceError

Value = TypeVar("Value")


@dataclass(frozen=True)
class ProcessGroup:
    """This process's rank, the number of processes, and the device to compute on."""

    rank: int
    world_size: int
    device: torch.device
    restarted: bool

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes and prints."""
        return self.rank == 0

    def shard(self, indices: list[int]) -> list[int]:
        """Return this rank's part of `indices`; every index is in exactly one part."""
        return indices[self.rank :: self.world_size]

    def all_reduce(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sum over all processes."""
        if self.world_size == 1:
            return values
        tensor = torch.from_numpy(values.copy()).to(self.device)
        dist.all_reduce(tensor)
        result: npt.NDArray[np.float64] = tensor.cpu().numpy()
        return result

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all processes, in the order of their ranks."""
        if self.world_size == 1:
            return [value]
        found: list[Value | None] = [None] * self.world_size
        dist.all_gather_object(found, value)
        return [each for each in found if each is not None]


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Initialize torch.distributed for the block under torchrun; otherwise a single process.

    Raises:
        DeviceError: the other processes cannot be reached.
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
                f"process {rank} of {count} cannot reach the others: {error}",
                remedy="start all of them with torchrun",
            ) from error
    try:
        yield ProcessGroup(rank, count, device, restarted=_restarts() > 0)
    except RuntimeError as error:
        if count > 1 and _is_of_transport(error):
            raise DeviceError(
                f"process {rank} of {count} lost another process: {error}",
                remedy="see that process's error; torchrun --max-restarts N restarts all",
            ) from error
        raise
    finally:
        if count > 1:
            _destroy()


def _destroy() -> None:
    """Destroy the group after all that refers to it. If DistributedDataParallel, a reference cycle,
    is freed later, the GIL is held while gloo's threads are joined, and one of them may be waiting
    for the GIL: a deadlock."""
    gc.collect()
    dist.destroy_process_group()


def _restarts() -> int:
    """Return how often torchrun has restarted the processes. Its store outlives a restart, with the
    addresses of the processes that are gone: each attempt needs names of its own in it."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def _is_of_transport(error: RuntimeError) -> bool:
    """Whether gloo or nccl reports that a process is gone; gloo has no exception type for it."""
    return isinstance(error, dist.DistBackendError) or "gloo" in str(error).lower()
