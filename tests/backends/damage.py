"""JSON values with something wrong in them, for tests of what a backend does then."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
#: Where in a value: at each level the place of the child to go to.
PATHS = st.lists(st.integers(0, 20), max_size=8)


def mutated(value: Any, path: list[int], replacement: Any) -> Any:
    """The value with the one at the end of a walk replaced."""
    if not path or not isinstance(value, dict | list) or not value:
        return replacement
    if isinstance(value, dict):
        key = list(value)[path[0] % len(value)]
        return {**value, key: mutated(value[key], path[1:], replacement)}
    index = path[0] % len(value)
    return [*value[:index], mutated(value[index], path[1:], replacement), *value[index + 1 :]]
