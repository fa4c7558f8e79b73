"""Adopting a database whose DEKs the HSM wraps already, in place; and the way out again."""
