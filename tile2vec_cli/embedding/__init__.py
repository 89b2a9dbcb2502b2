"""From tiles to vectors, and the files that hold them."""
