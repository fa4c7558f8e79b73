"""Attacks that must fail: every claim of the threat model, tried on real parts.

``python -m attacks`` runs each attack against the real build, where it must not succeed once, and
against builds in which exactly one defence is weakened, where the same code must succeed.
"""
