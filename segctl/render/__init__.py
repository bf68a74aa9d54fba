"""Views of plans, state, results and problems as text, Markdown, HTML and JSON.

Pure: values in, text out; ``cli/`` imports one function a view. What never belongs here:
reading files, the terminal, the clock, and decisions about what a plan contains.
"""
