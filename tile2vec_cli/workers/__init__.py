"""Who makes what is missing: threads here, or a Dask cluster."""
