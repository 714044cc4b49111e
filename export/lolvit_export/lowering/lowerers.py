"""Which lowering runs where: the slowest of several in a process beside this one."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lolvit.errors import EXIT_BUG, EXIT_DONE, DeviceError, UserError
from lolvit.manifest import TensorSpec
from lolvit_export.lowering.request import Lower, Lowered, LoweringRequest
from lolvit_export.targets import find_lowering, find_target

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
            UserError, DeviceError, RuntimeError: as `LoweringChild.lower`.
        """
        assert self._child is not None
        return self._child.lower(message)


class LoweringChild:
    """The process that lowers to `format`; it starts to import the converter at once."""

    def __init__(self, format: str) -> None:
        self._format = format
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._process = subprocess.Popen(
            # -P: a module in the current folder must not stand in for one of ours
            [sys.executable, "-P", "-m", "lolvit_export.lowering.child", format],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def lower(self, message: bytes) -> list[Lowered]:
        """Lower what was `packed`, and return what was written. The process then ends.

        Raises:
            UserError: as the converter says.
            DeviceError: the process was killed, for instance for want of memory.
            RuntimeError: a bug of ours or the converter's, with the process's traceback.
        """
        answer, _ = self._process.communicate(message)
        if self._process.returncode == EXIT_BUG:
            raise RuntimeError(f"lowering to {self._format} failed:\n{self._traceback()}")
        if self._process.returncode != EXIT_DONE or not answer:
            raise DeviceError(
                f"lowering to {self._format} was killed (code {self._process.returncode})",
                remedy="free memory, and export again",
            )
        document = json.loads(answer)
        if "error" in document:
            raise UserError(**document["error"])
        return [_read(item) for item in document["lowered"]]

    def _traceback(self) -> str:
        self._stderr.seek(0)
        printed = self._stderr.read().decode(errors="replace")
        return printed[max(0, printed.rfind("Traceback (most recent call last)")) :]

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None and not stream.closed:
                stream.close()


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
