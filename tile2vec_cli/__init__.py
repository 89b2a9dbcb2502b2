"""tile2vec: from GeoTIFFs to embeddings and maps."""

__version__ = "0.1.0"
