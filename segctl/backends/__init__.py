"""Where state is stored: head, member files, history, journal, lock, garbage collection.

Import ``base.Backend`` for the protocol and ``journal.Journal`` for the record of an apply.
What never belongs here: what the bytes of a head mean beyond their references (``state/``).
"""
