"""One verb per file: flags -> config -> one call into the core -> report."""
