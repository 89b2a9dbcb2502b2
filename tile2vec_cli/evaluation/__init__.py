"""How good vectors are: probes, baselines, comparison of ways to learn."""
