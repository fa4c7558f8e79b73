"""``adopt.toml`` texts for tests, and adoptions read from them."""

from __future__ import annotations

from pathlib import Path

from twinlock.adopt.reading import load_adoption
from twinlock.adopt.settings import Adoption

KEY = """
[legacy-keys.records-2021]
id = "0a0b"
public = "old.pem"
"""
PATIENTS = """
[[tables]]
table = "patients"
name = "patient"
key = "id"
dek = "wrapped_dek"
legacy-key = "records-2021"
groups = ["{ward}", "emergency"]

  [tables.group-names]
  "3B" = "cardiology"

  [[tables.columns]]
  name = "diagnosis"
  ciphertext = "diagnosis_ct"
  nonce = "diagnosis_nonce"
  tag = "diagnosis_tag"
  aad = "patient:{id}:diagnosis"

  [[tables.columns]]
  name = "notes"
  ciphertext = "notes_ct"
"""
WHOLE = f"""[database]
url = "sqlite:///app.db"

[adopt]
authority = "cardiology"
{KEY}{PATIENTS}"""


def read(folder: Path, text: str = WHOLE) -> Adoption:
    """Write ``adopt.toml`` into a folder and read it."""
    path = folder / "adopt.toml"
    path.write_text(text, encoding="utf-8")
    return load_adoption(path)
