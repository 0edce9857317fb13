"""Make before break, for any two Models."""

from hypothesis import given

from onehop.model.model import Change, Model, change_between, with_change
from onehop.plan import Plan, StageKind, make_plan
from tests.model.anything import dangling, models, socket


@given(models(), models())
def test_a_plan_leads_from_any_model_to_any_other(have: Model, want: Model) -> None:
    """No stage leaves anything pointing at a row that is not there, or a socket bound twice."""
    assert not dangling(have)
    assert not dangling(want)
    seen = have
    for stage in make_plan(change_between(have, want)).stages:
        seen = with_change(seen, Change(stage.put, stage.remove))
        assert dangling(seen) == frozenset()
        assert len(seen.listeners) == len(set(map(socket, seen.listeners)))
    assert seen == want


@given(models(), models())
def test_stages_come_in_their_order_and_none_is_empty(have: Model, want: Model) -> None:
    """A data plane gets at most one stage of each kind, and only those with something to do."""
    plan = make_plan(change_between(have, want))

    order = [list(StageKind).index(stage.kind) for stage in plan.stages]
    assert order == sorted(set(order))
    assert all(stage.put or stage.remove for stage in plan.stages)
    assert bool(plan) is (have != want)


@given(models())
def test_a_model_that_is_served_already_needs_no_plan(model: Model) -> None:
    """Nothing changed, nothing is done."""
    assert make_plan(change_between(model, model)) == Plan()
