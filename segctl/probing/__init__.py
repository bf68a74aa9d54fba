"""Ask a live account what the vendor's pages leave open, and report what was learned.

Import ``probe_plan.ProbePlan``, which asks every question in order, and the values in
``report``. What never belongs here: anything that an apply uses.
"""
