"""Applications that show Twinlock at work."""
