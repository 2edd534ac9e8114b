"""What is odd about a service is logged when it begins, and once."""

from __future__ import annotations

import logging

from p2pclient.discovery.service_notices import ServiceNotices
from p2pclient.types import Panic, UnusableWorker


def test_panic_is_told_when_it_begins_and_when_it_ends(caplog):
    """A warning at its begin, however often it is noted; its numbers can be asked for while it lasts."""
    caplog.set_level(logging.INFO, "p2pclient")
    notices = ServiceNotices()
    for panic in (None, Panic(1, 4), Panic(0, 4), None, None):
        notices.note_panic("cats", panic)
        assert notices.panic("cats") == panic
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "cats: 1 of 4 workers are healthy, fewer than half: all of them are used"),
        ("INFO", "cats: at least half of the workers are healthy again"),
    ]


def test_a_worker_that_is_left_out_is_told_once(caplog):
    """Its id and the reason, on one line whatever the id holds, and anew if it comes back after it was gone."""
    notices, odd = ServiceNotices(), UnusableWorker("w\n\x1b[31m", "it has no address")
    for unusable in ((odd,), (odd,), (), (odd,)):
        notices.note_unusable("cats", unusable)
    assert caplog.messages == [r"cats: worker 'w\n\x1b[31m' is left out: it has no address"] * 2
