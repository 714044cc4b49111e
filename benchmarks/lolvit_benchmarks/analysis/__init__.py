"""Statistics, the quality of a result, and the comparison of two runs: pure functions."""
