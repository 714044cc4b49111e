"""Results as tables, as Markdown and as an HTML page."""
