"""All fuzzing targets that parse in the fuzzer's own process."""

from __future__ import annotations

from tests.fuzz.documents import DOCUMENTS
from tests.fuzz.files import FILES
from tests.fuzz.messages import MESSAGES
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {target.name: target for target in (*DOCUMENTS, *FILES, *MESSAGES)}
