"""Terms and small tools that every folder shares: identity, address, errors, codec, disk, clock.

Any module here may be imported from any other folder. Only the standard library is used. What
never belongs here: a term or a helper that only one folder needs.
"""
