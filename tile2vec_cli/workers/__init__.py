"""Who does the work: threads or processes here, or a Dask cluster."""
