"""A Multimap says what a dict of sets would say."""

from hypothesis import given
from hypothesis import strategies as st

from onehop.compile.multimap import Multimap

_STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3)), max_size=60)


@given(_STEPS)
def test_a_multimap_is_a_dict_of_sets(steps: list[tuple[bool, int, int]]) -> None:
    """Whatever is added and removed, keys, values and the news of both are those of the model."""
    found = Multimap[int, int]()
    model: dict[int, set[int]] = {}
    for adds, key, value in steps:
        if adds:
            assert found.add(key, value) is (key not in model)
            model.setdefault(key, set()).add(value)
        elif value in model.get(key, ()):
            model[key].remove(value)
            assert found.remove(key, value) is (not model[key])
            if not model[key]:
                del model[key]
        assert {each: set(found.of(each)) for each in found} == model
        assert all((each in found) is (each in model) for each in range(4))
