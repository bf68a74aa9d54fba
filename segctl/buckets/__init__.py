"""Buckets of S3, Google Cloud Storage and Azure: how one is opened, and what its errors mean.

Import ``open_bucket`` and the errors. Sources read members from buckets, backends store state in
them. What never belongs here: what an object contains.
"""
