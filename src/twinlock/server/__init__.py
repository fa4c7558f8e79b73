"""The application's side: sealing, asking members, opening in the token, auditing."""
