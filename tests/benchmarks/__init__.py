"""Measurements that are no tests: ``python -m tests.benchmarks.nlu`` and others beside it."""
