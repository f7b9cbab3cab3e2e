"""Benchmarks of asyncruns beside its peers: `python -m benchmarks --help`."""
