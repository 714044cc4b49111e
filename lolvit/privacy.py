"""What other libraries would report about their users is switched off before they are loaded.

Importing this module, as `import lolvit` does, sets variables of this process's environment, which
child processes inherit. A variable that the user has set keeps its value.
"""

from __future__ import annotations

import os

# ONNX Runtime reads its variable when it is loaded: a device id and a database of events below
# HOME, and events to Microsoft over HTTPS (its Privacy.md). The Hub's client sends the versions of
# the libraries that use it with each request. OpenVINO's is blocked in `lolvit_runtimes.openvino`.
NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

for _name, _value in NO_TELEMETRY.items():
    os.environ.setdefault(_name, _value)
