"""`python android_demo/driver COMMAND` builds and tests the Android app without Google's SDK."""

import sys

from android_build.cli import main

sys.exit(main())
