"""Suppress the output of converters, which print to stdout and stderr, some of them from C++."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from lolvit.errors import LolvitError


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Redirect stdout and stderr, of Python and of native code, to a temporary file in the block.

    If the block raises anything but a `LolvitError`, the end of that output is printed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        os.dup2(scratch.fileno(), 1)
        os.dup2(scratch.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        except LolvitError:
            failed = False  # its message has the reason
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            os.close(saved[0])
            os.close(saved[1])
            logging.disable(level)
            if failed:
                scratch.seek(0)
                sys.stderr.write(scratch.read()[-4000:].decode(errors="replace"))
