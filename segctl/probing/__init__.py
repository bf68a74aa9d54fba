"""Ask a live account what the vendor's pages leave open, and report what was learned.

Import ``probe_plan.ProbePlan``, which runs the questions in order, and the values in ``report``,
which lists them; the ``*_questions`` modules send the requests. What never belongs here: anything
that an apply uses.
"""
