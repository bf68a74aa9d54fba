"""The client of the CleverTap API: requests, answers, retries, limits, connections.

Import ``client.CleverTapProvider`` to send, and the values in ``wire``. What never belongs
here: plans, state, and what to do about an outcome.
"""
