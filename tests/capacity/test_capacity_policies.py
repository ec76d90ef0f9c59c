"""Autoscalers as decisions."""

import numpy as np

from shadowprice.capacity.policies import Reactive, planned


def test_planned_keeps_every_period_at_or_below_the_load() -> None:
    work = np.array([0.0, 10.0, 90.0, 91.0])
    assert planned(work, 10.0, 1.0).tolist() == [1, 1, 9, 10]
    assert (work <= 0.7 * 10.0 * planned(work, 10.0, 0.7)).all()


def test_reactive_asks_for_more_at_once_and_for_fewer_only_after_the_cooldown() -> None:
    scaler = Reactive(target=0.5, cooldown_s=300.0)
    assert scaler.decide(0.0, 2, busy=2.0, queued_s=0.0) == 4
    assert scaler.decide(15.0, 4, busy=0.5, queued_s=0.0) == 4
    assert scaler.decide(330.0, 4, busy=0.5, queued_s=0.0) == 1


def test_reactive_leaves_small_changes_alone_and_sees_the_queue() -> None:
    assert Reactive(target=0.5).decide(0.0, 4, busy=2.1, queued_s=0.0) == 4
    assert Reactive(target=0.5).decide(0.0, 4, busy=4.0, queued_s=600.0) == 28
