"""Scenes into tiles, and tiles into triplets."""
