"""The client of the CleverTap API: requests, answers, retries, limits, connections.

``client.CleverTapProvider`` sends requests. ``wire`` builds their bodies and decides what an
answer means; ``retry`` decides when to send again. Plans, state and the handling of outcomes do
not belong here.
"""
