"""Sharing a secret among contacts, with pycryptodome: the extra ``contacts``."""
