"""From tiles to an encoder: objectives, losses, and the loop that minimises them."""
