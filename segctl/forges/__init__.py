"""GitHub and GitLab, the services that host the repository, and comments on pull requests.

``environment.open_forge`` returns the forge that a CI job names. ``base`` says what a forge can
do; ``github`` and ``gitlab`` do it over ``http``. ``comments`` renews the one comment of a
workspace; ``marker`` is the line that identifies it. Plans, wording and exit codes do not
belong here.
"""
