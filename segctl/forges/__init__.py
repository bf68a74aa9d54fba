"""GitHub and GitLab, the services that host the repository: comments on pull requests, and issues.

``environment.open_forge`` returns the forge that a CI job names. ``base`` says what a forge can
do; ``github`` and ``gitlab`` do it over ``http``. ``comments`` updates the one comment of a
workspace, ``issues`` its one issue, and ``marker`` is the line by which they are found. Plans,
wording and exit codes do not belong here.
"""
