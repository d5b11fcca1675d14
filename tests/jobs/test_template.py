"""Templates: literal text, fields, nesting, formats, and what is said of a missing field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.errors import ConfigError
from asyncapi.jobs.template import MissingFieldError, Template

ROW = {
    "q": "Why?",
    "n": 3,
    "ok": True,
    "a": {"b": {"c": "deep"}},
    "list": ["x", {"y": "z"}],
    "first name": "Ada",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{q}", "Why?"),
        ("Q: {q} ({n})", "Q: Why? (3)"),
        ("{{literal}} {q}", "{literal} Why?"),
        ("{a[b][c]}", "deep"),
        ("{a.b.c}", "deep"),
        ("{a.b[c]}", "deep"),
        ("{list[0]} {list[-1][y]}", "x z"),
        ("{a[b]}", '{"c":"deep"}'),
        ("{ok}", "true"),
        ("{first name}", "Ada"),
        ("{n:.2f}|{q:>6}", "3.00|  Why?"),
        ("no field", "no field"),
        ("", ""),
    ],
)
def test_fills_the_places(text: str, expected: str) -> None:
    """Every form of a place gives its value."""
    assert Template(text).render(ROW) == expected


def test_an_exact_field_name_wins_over_a_path() -> None:
    """CSV headers may hold dots and brackets."""
    assert (
        Template("{a.b} {c[0]}").render({"a.b": "dotted", "a": {"b": "no"}, "c[0]": "bracket"})
        == "dotted bracket"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{missing}", ["no field 'missing'", "q, n, ok, a, list, first name"]),
        ("{a[x]}", ["no field 'x' in 'a'", "the fields are: b"]),
        ("{a[b][x]}", ["no field 'x' in 'a[b]'"]),
        ("{list[7]}", ["no item 7 in 'list', a list of 2"]),
        ("{q[x]}", ["no field 'x' in 'q', which is no object"]),
        ("{q.__class__}", ["no field '__class__' in 'q'"]),
        ("{q:d}", ["{q:d} can't format 'Why?'"]),
        ("{a:d}", ["{a:d} can't format"]),
    ],
)
def test_says_what_is_missing_and_what_is_there(text: str, words: list[str]) -> None:
    """The message names the field and those that exist."""
    with pytest.raises(MissingFieldError) as caught:
        Template(text).render(ROW)

    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_names_a_dozen_fields_at_most() -> None:
    """A wide file doesn't flood the terminal."""
    with pytest.raises(MissingFieldError, match="and 8 more"):
        Template("{x}").render({f"f{i}": i for i in range(20)})
    with pytest.raises(MissingFieldError, match="the fields are: none"):
        Template("{x}").render({})


@pytest.mark.parametrize("text", ["{", "}", "{}", "{a", "{a!r}", "{a} }"])
def test_refuses_a_template_that_it_cannot_read(text: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match="prompt: "):
        Template(text)


def test_lists_its_fields() -> None:
    """In order, literals left out."""
    assert Template("{{x}} {q} and {a[b]}").fields == ("q", "a[b]")


@given(st.text())
def test_doubled_braces_give_any_text_back(text: str) -> None:
    """Escaping is complete."""
    assert Template(text.replace("{", "{{").replace("}", "}}")).render({}) == text
