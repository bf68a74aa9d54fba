"""The services that host the repository: GitHub and GitLab, and the comments on their requests.

``environment.open_forge`` returns the forge that a CI job names. ``base`` says what a forge can
do; ``github`` and ``gitlab`` do it over ``http``. ``comments`` renews the one comment of a
workspace, and ``marker`` is the line by which it is found. Plans, wording and exit codes do not
belong here.
"""
