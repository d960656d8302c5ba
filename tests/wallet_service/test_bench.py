"""The benchmark measures what is real: verified books, and a reference that posts the same rows."""

from __future__ import annotations

import pytest

from wallet_service.bench import Plan, bench_ledger, bench_scale


@pytest.mark.parametrize("hot", [False, True])
async def test_the_benchmark_posts_real_transfers(hot) -> None:
    """On each database there is: a verified ledger, one caller and several, and the reference beside them."""
    rows = await bench_ledger(Plan(clients=2, seconds=0.3, hot=hot, accounts=20))
    assert {row["clients"] for row in rows} == {1, 2}
    assert all(row["transfers"] > 0 for row in rows)
    ours = [row for row in rows if "verified" in row]
    assert [row["verified"] for row in ours] == [True] * len(ours)
    assert ours[0]["database"] == "sqlite"
    assert ours[0]["ratio"] > 0


async def test_the_price_among_few_and_among_more_wallets() -> None:
    """Two sizes on each database, and how much dearer the larger one is."""
    rows = await bench_scale(Plan(seconds=1.0, accounts=1_200))
    assert [row["accounts"] for row in rows[:2]] == [1_000, 1_200]
    assert all(row["posting_ms"] > 0 and row["balance_ms"] > 0 for row in rows)
    assert rows[1]["balance_ms_ratio"] > 0
