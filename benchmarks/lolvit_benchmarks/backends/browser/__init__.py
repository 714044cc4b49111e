"""Artifacts in a browser: a page, the server that it comes from, and what the two say."""
