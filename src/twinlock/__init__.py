"""Twinlock: records that open only when a member and the HSM turn their keys together."""
