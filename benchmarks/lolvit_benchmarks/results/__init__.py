"""The result document: its types, its JSON Schema, its files."""
