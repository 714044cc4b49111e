"""Backends that run in this process, on this machine's processors."""
