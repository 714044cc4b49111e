"""Measuring artifacts against each other on this machine, and saying how far to trust the result.

What goes in are folders with a manifest; what comes out is one JSON document (`result`), from which
tables and pages are made. Nothing here imports torch: models are exported in a child process.
"""
