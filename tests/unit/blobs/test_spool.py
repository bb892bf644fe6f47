"""Bytes that wait: the same whether in memory or in a file, and never more memory than the budget."""

from __future__ import annotations

from homeport.blobs.spool import Budget, Spool


def test_bytes_come_back_in_order_from_memory_and_from_a_file() -> None:
    for most in (0, 4, 1000):
        spool = Spool(Budget(most))

        for piece in (b"abc", memoryview(b"defg"), b"", b"hi"):
            spool.append(piece)

        assert (spool.size, spool.content()) == (9, b"abcdefghi")
        spool.append(b"j")
        spool.cut(4)
        assert (spool.size, spool.content()) == (4, b"abcd")
        spool.append(b"!")
        assert spool.content() == b"abcd!"
        spool.clear()
        assert (spool.size, spool.content()) == (0, b"")


def test_many_spools_hold_no_more_memory_together_than_the_budget() -> None:
    budget = Budget(100)
    spools = [Spool(budget) for _ in range(20)]

    for spool in spools:
        for _ in range(10):
            spool.append(b"x" * 7)

    assert all(spool.content() == b"x" * 70 for spool in spools)
    in_memory = sum(len(spool._memory) for spool in spools)
    assert 0 < in_memory <= 100
    for spool in spools:
        spool.clear()


def test_what_is_let_go_can_be_held_by_another() -> None:
    budget = Budget(10)
    first, second = Spool(budget), Spool(budget)
    first.append(b"x" * 10)

    first.clear()
    second.append(b"y" * 10)

    assert len(second._memory) == 10
