"""Smart cards: PKCS#11 on the member's side, for the factor ``smart-card`` (docs/adr/0015)."""
