"""The use case behind ``segctl probe``: learn from a live account what no page says.

``course.py`` is the way through all questions, ``lab.py`` what every one of them works
with; ``creating.py``, ``limits.py`` and ``changing.py`` ask, ``watching.py`` looks at what
happened, ``judging.py`` says what it means.
"""
