"""An example application of Twinlock: the patients of a small clinic, sealed field by field."""
