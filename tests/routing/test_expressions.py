from __future__ import annotations

import pytest
from cel_expr_python import cel

from routing.expressions import Call, Const, Expression, Ident, ListOf, Other, Select, conjuncts, read, walk

VARIABLES = {
    "a": cel.Type.STRING,
    "b.c": cel.Type.INT,
    "flag": cel.Type.BOOL,
    "tags": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
}


def expression(text: str) -> Expression:
    return read(cel.NewEnv(variables=VARIABLES).compile(text).serialize())


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("a == 'x'", Call("_==_", (Ident("a"), Const("x")))),
        ("flag != true", Call("_!=_", (Ident("flag"), Const(True)))),
        ("b.c > 3", Call("_>_", (Ident("b.c"), Const(None)))),
        ("a in ['x', '']", Call("@in", (Ident("a"), ListOf((Const("x"), Const("")))))),
        ("tags.x == a", Call("_==_", (Select(Ident("tags"), "x", False), Ident("a")))),
        ("tags['x'] == a", Call("_==_", (Call("_[_]", (Ident("tags"), Const("x"))), Ident("a")))),
        ("has(tags.x)", Select(Ident("tags"), "x", True)),
        ("a.startsWith('x')", Call("startsWith", (Ident("a"), Const("x")))),
        ("!flag", Call("!_", (Ident("flag"),))),
        ("tags.exists(k, k == a)", Other()),
        ("a == '" + "x" * 300 + "'", Call("_==_", (Ident("a"), Const("x" * 300)))),
    ],
)
def test_a_checked_expression_is_read(text: str, root: object) -> None:
    assert expression(text).root == root


def test_variables_are_found_wherever_they_are() -> None:
    assert expression("flag && tags.exists(k, k == a)").names >= {"flag", "tags", "a"}
    assert "a" not in expression("b.c > 3 && flag").names


def test_conjunctions_come_apart_and_nothing_else_does() -> None:
    parts = list(conjuncts(expression("a == 'x' && (flag || b.c > 1) && flag").root))

    assert [part.function if isinstance(part, Call) else part for part in parts] == ["_==_", "_||_", Ident("flag")]


def test_walking_goes_everywhere_but_into_comprehensions() -> None:
    found = list(walk(expression("!(a in [tags.x]) || tags.exists(k, k == 'y')").root))

    assert Select(Ident("tags"), "x", False) in found
    assert Ident("a") in found
    assert Const("y") not in found


def test_what_is_not_a_message_is_refused() -> None:
    with pytest.raises(ValueError, match="wire format"):
        read(b"\x13")
