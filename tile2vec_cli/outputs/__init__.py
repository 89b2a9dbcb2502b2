"""Whole-or-absent output: parts, what they were made from, what stopped runs resume from."""
