"""Words and small tools that every folder shares: identity, address, errors, codec, disk, clock.

Anything may be imported from anywhere; only the standard library is used. What never
belongs here: a term or a helper that a single folder needs.
"""
