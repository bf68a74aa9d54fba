"""Build a plan from the desired state, the sources and the recorded state.

Import ``planner.build_plan`` and the values it takes and returns. ``row_findings`` checks what a
source contains. What never belongs here: sending, writing state, the rules of a single change
(``plan/``), and SQL (``engine/``).
"""
