"""What the page tells the server: every message is checked before anything believes it.

The page is no more trusted than a file: it runs in a browser that anyone on the network may have
opened, if they have the token.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

LONGEST_MS = 1e7  # of one inference: almost three hours
_MOST = 100_000

Text = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(max_length=200)]
Milliseconds = Annotated[float, Field(gt=0, le=LONGEST_MS, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Words = Annotated[dict[Name, Text], Field(max_length=50)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    client: str = Field(pattern=r"^[0-9a-f]{32}$", description="drawn by the page when it opens")


class About(BaseModel):
    """The browser, as far as it tells; a detail that it doesn't tell is absent."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    cores: int = Field(ge=1, le=4096)
    isolated: bool = Field(description="whether it allows threads and a fine clock")
    software_gpu: bool | None = Field(description="null: no WebGPU")
    details: Words


class Hello(_Message):
    """The page is there, and would measure."""

    kind: Literal["hello"]
    about: About


class Alive(_Message):
    """Nothing new, but the page is still there; `done` rounds of `planned` in its present cell."""

    kind: Literal["alive"]
    done: int = Field(ge=0, le=_MOST)
    planned: int = Field(ge=0, le=_MOST)


class LoadedSide(BaseModel):
    """One artifact as the runtime opened it: `run_ms` is a warm inference's time, and `logits` are
    those of the photo."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    load_ms: Milliseconds
    first_ms: Milliseconds
    preprocess_ms: Milliseconds
    run_ms: Milliseconds
    logits: Annotated[list[Finite], Field(max_length=_MOST)]
    options: Words
    placement: Annotated[dict[Name, Annotated[int, Field(ge=0)]], Field(max_length=20)]


class Ready(_Message):
    """All artifacts of a cell are loaded and warm; answered with the plan of its rounds."""

    kind: Literal["ready"]
    cell: int
    runtime_version: Name
    clock_us: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    sides: Annotated[list[LoadedSide], Field(min_length=1, max_length=50)]


class PageRound(BaseModel):
    """One round: each slot's side and its milliseconds, in the order they were made; the
    microseconds of the fixed arithmetic after each slot."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    slots: Annotated[list[tuple[Name, list[Milliseconds]]], Field(min_length=1, max_length=200)]
    probes: Annotated[list[Annotated[float, Field(gt=0, le=1e9)]], Field(max_length=200)]


class Block(_Message):
    """The rounds of one block, and the seconds since the cell's first one began."""

    kind: Literal["block"]
    cell: int
    block: int
    at_s: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
    rounds: Annotated[list[PageRound], Field(min_length=1, max_length=_MOST)]


class Failed(_Message):
    """A cell can't be measured in this browser."""

    kind: Literal["failed"]
    cell: int
    what: Text


class Bye(_Message):
    """The page is being closed."""

    kind: Literal["bye"]


Event = Annotated[Hello | Alive | Ready | Block | Failed | Bye, Field(discriminator="kind")]
EVENT: TypeAdapter[Hello | Alive | Ready | Block | Failed | Bye] = TypeAdapter(Event)
