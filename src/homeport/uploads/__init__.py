"""Uploads: bytes on their way in, from the first byte to a blob of a repository."""
