"""`python ios_demo/driver`: tests the Swift library on Linux."""

import sys
from pathlib import Path

# Photos and settings are those of the Kotlin library's tests.
sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "android_demo" / "driver"))

from ios_build.cli import main

if __name__ == "__main__":
    sys.exit(main())
