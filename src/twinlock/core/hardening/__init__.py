"""Password hardening: a password's hash goes through a key that only the token has.

The client blinds a point that stands for the password, the token multiplies it, the client takes
the blinding away (SPEC 24). Nothing that is stored tests a password without the token, and the
server learns nothing about it.
"""
