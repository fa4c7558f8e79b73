"""SCRAM-SHA-256 as a client does it (RFC 5802, RFC 7677), and the verifiers that servers keep.

The server that ends the exchange learns ClientKey: it is the proof XOR an HMAC with StoredKey. So
does whoever has StoredKey and one recorded exchange. SPEC 27 says what follows from that.
"""
