"""The result document: its types, its files, and the conversion of its earlier version."""
