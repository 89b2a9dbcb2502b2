"""Whole-or-absent output: parts, what they were made from, and who makes those that are missing."""
