"""Whether intervals hold what they promise: `python -m lolvit_benchmarks.coverage --help`."""
