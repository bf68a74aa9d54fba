"""Where state is stored, on a disk or in a bucket: head, files, history, journal, lock, encryption.

Import ``base.Backend`` for the protocol, ``journal.Journal`` for the record of an apply, and
``byte_store.ByteStore`` to add a store. How
the lock works is here; when a run takes it is in ``session/``. What never belongs here: the meaning
of a head, other than its serial and the files it refers to (``state/``).
"""
