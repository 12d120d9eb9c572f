import os
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gdwatch.files import escaping

PATHS = st.binary(max_size=300).filter(lambda name: b"\0" not in name)


@given(PATHS)
@example(rb"\x41")
@example(b"\\")
@example(b"\xff\xfe\n\x1b[31m\xc2\x85\xe2\x80\xa8")
def test_the_text_gives_the_bytes_back(name: bytes) -> None:
    assert escaping.unescape(escaping.escape(name)) == name


@given(PATHS)
def test_the_text_is_one_line_of_utf_8_that_steers_nothing(name: bytes) -> None:
    text = escaping.escape(name)
    assert text.encode().decode() == text
    assert len(text.splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)


@given(PATHS.filter(bool))
@example(b"'$(touch x)")
@example(b"a\n`id`\xff'")
@settings(max_examples=25, deadline=None)
def test_a_shell_takes_a_quoted_name_for_the_name_and_for_nothing_else(name: bytes) -> None:
    text = escaping.quote_for_shell(name)
    assert len(text.splitlines()) == 1
    told = subprocess.run(["bash", "-c", f"printf %s {text}"], capture_output=True, check=True)
    assert (told.stdout, told.stderr) == (name, b"")


@given(PATHS, PATHS)
def test_two_names_have_two_texts(one: bytes, other: bytes) -> None:
    assert (escaping.escape(one) == escaping.escape(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Größe 日本.jpg".encode(), "Größe 日本.jpg"),
        (b"a\nb", r"a\x0ab"),
        (b"a\\b", r"a\\b"),
        (b"\xff", r"\xff"),
        ("\u2028".encode(), r"\xe2\x80\xa8"),
        ("a\u202egpj.exe".encode(), r"a\xe2\x80\xaegpj.exe"),
    ],
)
def test_a_name_is_shown_as_it_is_where_that_is_safe(name: bytes, text: str) -> None:
    assert escaping.escape(name) == text


@pytest.mark.parametrize("root", [b"/srv/root", b"/"])
def test_a_path_below_the_root_is_shown_relative_to_it(root: bytes) -> None:
    path = os.path.join(root, b"male/a.jpg")
    assert escaping.relative_text(path, root) == "male/a.jpg"
    assert escaping.absolute_path("male/a.jpg", root) == path


def test_a_path_elsewhere_is_shown_whole() -> None:
    assert escaping.relative_text(b"/srv/rooted/a.jpg", b"/srv/root") == "/srv/rooted/a.jpg"
    assert escaping.absolute_path("/srv/rooted/a.jpg", b"/srv/root") == b"/srv/rooted/a.jpg"
