"""One page of results, as Markdown and HTML."""
