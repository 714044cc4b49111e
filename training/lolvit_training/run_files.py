"""The names of the files in a run's folder, for parts that do without torch too."""

from __future__ import annotations

from typing import Final

LAST: Final = "last.pt"  # the checkpoint to resume from
MODEL: Final = "model.safetensors"  # the final model, there once the run is finished
