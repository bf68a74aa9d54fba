"""Views of a plan and of the state: text, Markdown, JSON, HTML; pure."""
