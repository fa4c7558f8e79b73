"""Passkeys outside a browser: CTAP authenticators, for the factor ``passkey`` (docs/adr/0017)."""
