"""A local CleverTap API Segments service.

It implements the vendor's documentation independently and imports nothing else of
segctl, so that one misreading cannot make every test pass.  ``app.create_app``
returns the ASGI application, ``server.serve`` runs it until a signal, and
``testing.running_emulator`` runs it in a thread.
"""
