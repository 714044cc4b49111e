"""`python -m lolvit` is the command line."""

import sys

from lolvit.cli import main

sys.exit(main())
