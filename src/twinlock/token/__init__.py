"""Tokens behind PKCS#11: ``pkcs11_token.Pkcs11Token`` implements ``core.ports.Token``."""
