"""Statistics of samples: pure functions."""
