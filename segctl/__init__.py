"""segctl: Terraform for audience segments.

The folders form one stack: each imports the ones below it and none above.
``docs/architecture.md`` draws it; the ``__init__.py`` of each folder says what belongs there.
"""

__version__ = "0.1.0"
