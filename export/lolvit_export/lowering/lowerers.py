"""Which lowering runs where: the slowest of several in a process beside this one."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lolvit.manifest import TensorSpec
from lolvit_export.lowering.request import Lower, Lowered, LoweringRequest
from lolvit_export.targets import find_lowering, find_target
from lolvit_runtimes.worker.process import Process, python_module

if TYPE_CHECKING:  # the child begins to load its converter while this process loads torch
    from torch.fx import GraphModule


class Lowerers:
    """The lowerings of some formats: `beside` (or none) in a child process, the others `here`."""

    def __init__(self, formats: Sequence[str]) -> None:
        ordered = sorted(formats, key=lambda name: -find_target(name).cost)
        self.beside = ordered[0] if len(ordered) > 1 else None
        self.here = tuple(format for format in ordered if format != self.beside)
        self._child = LoweringChild(self.beside) if self.beside is not None else None
        self._loaded: dict[str, Lower] = {}

    def __enter__(self) -> Lowerers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.close()

    def load(self) -> None:
        """Import the converters of this process, while no other thread imports: coremltools hides
        modules meanwhile."""
        self._loaded = {format: find_lowering(format) for format in self.here}

    def lower(self, format: str, graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
        """Lower to one of the formats that are lowered `here`."""
        return self._loaded[format](graph, request)

    def lower_beside(self, message: bytes) -> list[Lowered]:
        """Lower what was `packed` to the format that is lowered `beside`, and wait for it.

        Raises:
            LolvitError, RuntimeError: as `LoweringChild.lower`.
        """
        assert self._child is not None
        return self._child.lower(message)


class LoweringChild(Process):
    """The process that lowers to `format`; it starts to import the converter at once.

    Its request is a pickled graph instead of a message of `wire`, which holds named arrays and has
    a limit on their size. Its answers are such messages.
    """

    def __init__(self, format: str) -> None:
        super().__init__(
            python_module("lolvit_export.lowering.child", format),
            name=f"lowering to {format}",
            remedy="free memory, and export again",
        )

    def lower(self, message: bytes) -> list[Lowered]:
        """Lower what was `packed`, and return what was written. The process then ends.

        Raises:
            LolvitError: as the child reports it.
            DeviceError: the process crashed or was killed, for instance for want of memory.
            RuntimeError: a bug of ours or the converter's, with the process's traceback.
        """

        def write(stream: IO[bytes]) -> None:
            stream.write(message)
            stream.flush()

        answer, _ = self.ask_in_bytes(write)
        self.close()  # and free its memory
        return [_read(item) for item in answer["lowered"]]


def packed(graph: GraphModule, request: LoweringRequest) -> bytes:
    """Return a graph and a request as the message to a lowering process."""
    return pickle.dumps((_plain(graph), request))


def _plain(graph: GraphModule) -> GraphModule:
    """Return a graph that unpickles: by torch.fx's own tracer, not by the one that captured it."""
    from torch.fx import GraphModule

    plain = GraphModule(graph, graph.graph)
    plain._tracer_cls = None
    return plain


def _read(item: dict[str, Any]) -> Lowered:
    return Lowered(
        path=Path(item["path"]),
        precision=item["precision"],
        inputs=tuple(TensorSpec.model_validate(spec) for spec in item["inputs"]),
        outputs=tuple(TensorSpec.model_validate(spec) for spec in item["outputs"]),
    )
