"""Places on the Earth, and the files of others that hold them: rasters, vector files, GeoParquet."""
