"""The commands of `lolvit` that measure, compare and report."""
