"""What tile2vec made, as a STAC catalog."""
