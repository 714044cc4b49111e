"""The version of lolvit, for what must not import the package's public names."""

from __future__ import annotations

__version__ = "0.1.0"
