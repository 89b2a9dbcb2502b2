"""Classes of tiles, from rasters, polygons, points and tables."""
