"""Test vectors and what makes them. See README.md."""
