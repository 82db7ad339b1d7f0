"""Which pages may call: those of an address that nobody else can own, served from here."""

import pytest
from pouw.node.rpc.origin import is_foreign_page

HERE = "127.0.0.1:9332"


def test_what_is_no_browser_is_let_in() -> None:
    assert not is_foreign_page({"Host": HERE})
    assert not is_foreign_page({})


@pytest.mark.parametrize("host", [HERE, "localhost:9332", "LocalHost", "[::1]:9332", "10.0.0.7"])
def test_pages_served_from_here_are_let_in(host: str) -> None:
    assert not is_foreign_page({"Host": host, "Origin": f"http://{host}"})
    assert not is_foreign_page({"Host": host, "Origin": f"https://{host}"})


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "http://",
        "http://[",
        "file://127.0.0.1:9332",
        "http://127.0.0.1",
        "http://127.0.0.1:9333",
        "http://user@127.0.0.1:9332",
        "http://example.org",
        "http://127.0.0.1:9332.example.org",
    ],
)
def test_other_pages_are_foreign(origin: str) -> None:
    assert is_foreign_page({"Host": HERE, "Origin": origin})
    assert is_foreign_page({"Origin": origin})


@pytest.mark.parametrize("host", ["example.org", "localhost.example.org:9332", "1.2.3.4.5", ""])
def test_a_name_that_a_stranger_may_own_is_foreign(host: str) -> None:
    assert is_foreign_page({"Host": host, "Origin": f"http://{host}"})
