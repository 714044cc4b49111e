"""The paths of the project and of a build, and pom.xml's properties."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lolvit.errors import UserError

ANDROID = Path(__file__).resolve().parents[2]
POM = ANDROID / "pom.xml"
_NAMESPACE = "{http://maven.apache.org/POM/4.0.0}"


@dataclass(frozen=True)
class Build:
    """A build: its directory (concurrent builds each need their own), Maven's repository, the app
    (by default the demo), and the copy of the library that the app uses."""

    directory: Path
    repository: Path
    app: Path = ANDROID / "app"
    library: Path = ANDROID / "lolvit"

    @property
    def package(self) -> str:
        """The app's package, from the file that Gradle reads."""
        found = re.search(r'namespace = "([\w.]+)"', (self.app / "build.gradle.kts").read_text())
        if found is None:
            raise UserError("names no namespace", where=str(self.app / "build.gradle.kts"))
        return found.group(1)

    @property
    def fetched(self) -> Path:
        """AARs and jars that Maven copied, to be unpacked."""
        return self.directory / "fetched"

    @property
    def generated(self) -> Path:
        """Sources and resources that aapt2 makes."""
        return self.directory / "gen"

    @property
    def assets(self) -> Path:
        """The app's assets: `lolvit/MODEL/` for each packaged model."""
        return self.directory / "assets"

    @property
    def fixtures(self) -> Path:
        """Photos for the tests, with Python's results."""
        return self.directory / "fixtures"

    @property
    def logs(self) -> Path:
        """The tools' output."""
        return self.directory / "logs"

    @property
    def aapt2(self) -> Path:
        """The program that compiles resources."""
        return self.directory / "aapt2" / "prebuilt" / "linux" / "aapt2_64"

    @property
    def framework(self) -> Path:
        """The jar of Android's framework that is compiled and linked against."""
        version = pom_property("android-all.version")
        folder = self.repository / "org" / "robolectric" / "android-all" / version
        return folder / f"android-all-{version}.jar"

    def maven(self, *goals: str) -> list[str]:
        """Return Maven's command line."""
        settings = {
            "build.dir": self.directory,
            "assets.dir": self.assets,
            "fixtures.dir": self.fixtures,
            "app.dir": self.app,
            "library.dir": self.library,
            "maven.repo.local": self.repository,
        }
        flags = [f"-D{name}={value}" for name, value in settings.items()]
        return ["mvn", "-B", "-q", "-f", str(POM), *flags, *goals]


@cache
def pom_version() -> str:
    """Return the version of pom.xml, which is the library's and the app's."""
    return str(ElementTree.parse(POM).findtext(f"{_NAMESPACE}version"))


@cache
def pom_property(name: str) -> str:
    """Return one of pom.xml's properties."""
    found = ElementTree.parse(POM).findtext(f"{_NAMESPACE}properties/{_NAMESPACE}{name}")
    if found is None:
        raise KeyError(f"pom.xml has no property {name}")
    return found
