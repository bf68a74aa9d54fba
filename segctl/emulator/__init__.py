"""A local CleverTap API Segments service, beside the house.

It has its own reading of the vendor's pages and shares no line with segctl's
client, so that one misreading cannot pass every test.  ``app.create_app`` gives
the ASGI application, ``server.serve`` runs it, ``testing.running_emulator`` runs
it in a thread.
"""
