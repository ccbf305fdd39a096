"""Reports: studies and runs as one page of Markdown, and one of HTML."""
