"""The member's side: unlocking, examining requests, releasing, changing groups."""
