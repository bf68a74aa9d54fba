"""Views of plans, state, results and problems as text, Markdown, HTML and JSON.

Every function here is pure: values in, text out. Only ``cli/`` imports this folder. Reading
files, the terminal, the clock, and decisions about what a plan contains belong elsewhere.
"""
