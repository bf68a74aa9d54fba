"""Where state is stored: head, member files, history, journal, lock, garbage collection.

Import ``base.Backend`` for the protocol and ``journal.Journal`` for the record of an apply. How
the lock works is here; when a run takes it is in ``session/``. What never belongs here: the meaning
of a head, other than its serial and the files it refers to (``state/``).
"""
