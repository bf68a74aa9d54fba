"""The client of the CleverTap API: requests, answers, retries, limits, connections.

``client.CleverTapProvider`` sends requests; ``wire`` defines the values it takes. Plans, state and
the handling of outcomes do not belong here.
"""
