"""Keep converters' chatter off the user's terminal: they print to both streams, some from C++."""

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
    """Send both standard streams, of Python and of native code, to a scratch file inside the block.

    If the block ends in a bug, what was said is shown after all.
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
            failed = False  # its own line says what is wrong
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
