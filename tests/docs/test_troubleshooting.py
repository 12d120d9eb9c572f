"""docs/troubleshooting.md: every reason and status that the program has, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import gdwatch
from gdwatch import errors, values
from tests.docs.pages import DOCS, code, rows, section, text_of

TEXT = text_of(DOCS / "troubleshooting.md")
TREES = [
    ast.parse(file.read_text(encoding="utf-8"))
    for file in sorted(Path(gdwatch.__file__).parent.rglob("*.py"))
]
CONSTANT = re.compile(r"_?[A-Z][A-Z_]*")
WORD = re.compile(r"[a-z]+(_[a-z]+)+")  # a reason, among other texts


def told(heading: str) -> list[str]:
    """The first column of the table under a heading."""
    return [code(row[0])[0] for row in rows(section(TEXT, heading))]


def texts(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def called(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    """The calls of functions, methods and classes with these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else None
            if (function.id if isinstance(function, ast.Name) else name) in names:
                yield node


def bindings(tree: ast.AST, name: str) -> Iterator[ast.expr]:
    """What a name is bound to, by assignments and by loops."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign | ast.For):
            targets = [node.target]
        bound = {each.id for target in targets for each in ast.walk(target) if is_name(each)}
        if name in bound and isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            yield node.value
        elif name in bound and isinstance(node, ast.For):
            yield node.iter


def is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name)


def words_bound(tree: ast.AST, name: str) -> set[str]:
    """The words that a name may stand for, looked up in the constants that bind it as well."""
    found: set[str] = set()
    for value in bindings(tree, name):
        found |= {text for text in texts(value) if WORD.fullmatch(text)}
        for other in filter(is_name, ast.walk(value)):
            if CONSTANT.fullmatch(other.id):
                found |= words_bound(tree, other.id)
    return found


def reasons_to_pause() -> set[str]:
    found: set[str] = set()
    for tree in TREES:
        for call in called(tree, "Trouble"):
            reason = call.args[0]
            if isinstance(reason, ast.Constant):
                found.add(reason.value)
            else:
                assert isinstance(reason, ast.Name), ast.unparse(call)
                words = words_bound(tree, reason.id)
                assert words, ast.unparse(call)
                found |= words
    return found


def reasons_to_stay() -> set[str]:
    found: set[str] = set()
    for tree in TREES:
        for call in called(tree, "skip"):
            found |= {text for each in call.args[1:2] for text in texts(each)}
        for value in bindings(tree, "_KINDS"):
            found |= set(texts(value))
    return found


def test_every_reason_for_unsure_is_explained_and_no_other():
    assert sorted(told("Unsure")) == sorted(get_args(values.UnsureReason))


def test_every_reason_for_rejected_is_explained_and_no_other():
    # `unreadable` is told of `classify` alone: the ledger never has it.
    explained = [*told("Rejected"), *told("Only in answers of classify")]
    assert sorted(explained) == sorted({*get_args(values.RejectedReason), "unreadable"})


def test_every_reason_to_stay_is_explained_and_no_other():
    found = reasons_to_stay()
    assert {"permission", "fifo", "stuck", "too_deep", "not_a_file"} <= found
    assert sorted(told("Why a file stays in the inbox")) == sorted(found)


def test_every_reason_to_pause_is_explained_and_no_other():
    found = reasons_to_pause()
    assert {"disk_low", "inbox_missing", "database_busy", "quota_full"} <= found
    assert sorted(told("Why the service pauses")) == sorted(found)


def statuses(of: type[Exception]) -> set[int]:
    found = {vars(of).get("status", 1)}
    return found.union(*map(statuses, of.__subclasses__()))


def test_every_exit_status_is_explained_and_no_other():
    interrupted = 128 + 2  # by SIGINT, as shells tell it
    assert [int(status) for status in told("Exit statuses")] == sorted(
        {0, interrupted, *statuses(errors.GdwatchError)}
    )


def quoted() -> list[str]:
    return re.findall(r"(?<![*\w])\*([^*\n]+)\*(?!\*)", TEXT)[1:]  # the first says what they are


@pytest.mark.parametrize("words", sorted(set(quoted())))
def test_words_in_italics_are_the_programs_own(words):
    assert any(words in text for tree in TREES for text in texts(tree))


def test_every_reason_is_a_row_of_three_cells():
    for heading in ("Unsure", "Rejected", "Why the service pauses"):
        assert all(len(row) == 3 and all(row) for row in rows(section(TEXT, heading)))
