"""What the till does a second, against a reference that runs on the same database in the same minutes."""

from wallet_service.bench.ledger import Plan, bench_ledger, bench_scale

__all__ = ["Plan", "bench_ledger", "bench_scale"]
