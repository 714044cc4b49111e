"""Models prepared, inspected and timed, interleaved, on this machine."""
