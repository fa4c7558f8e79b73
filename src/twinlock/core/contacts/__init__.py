"""Recovery of a member by k of n other members, the member's contacts (SPEC 31)."""
