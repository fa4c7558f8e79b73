"""Formats and rules without I/O, clock or environment; everything else imports inwards to here."""
