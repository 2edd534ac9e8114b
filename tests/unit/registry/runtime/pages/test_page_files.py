"""A page's files: what all pages share, what is the page's own, and the policy under which they are sent."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from registry.runtime.pages.page_files import PageFiles

GET = make_mocked_request("GET", "/ui/app.js")


@pytest.mark.parametrize(
    ("package", "own", "others"),
    [("registry.ui", "workers.js", "worker.js"), ("worker.ui", "worker.js", "workers.js")],
)
def test_a_page_has_its_own_files_and_the_shared_ones(package: str, own: str, others: str) -> None:
    """Nothing but files of the web is sent: no module of Python, and no file of another page."""
    page = PageFiles(package)
    assert {own, "index.html", "dom.js", "style.css"} <= set(page)
    assert not {others, "__init__.py", "routes.py", ""} & set(page)
    assert len(page) == len(set(page))
    with pytest.raises(KeyError):
        page.response(GET, others)


def test_no_script_but_the_pages_own_may_run() -> None:
    """Every file forbids all that it does not allow, markup made of text included; scripts ask where they may."""
    policies = {
        connect: page.response(GET, "style.css").headers["Content-Security-Policy"]
        for connect in ("'self'", "'self' http: https:")
        for page in [PageFiles("registry.ui", connect=connect)]
    }
    for connect, policy in policies.items():
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert f"; connect-src {connect}; " in policy
        assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
        assert "unsafe" not in policy


def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    """A file's tag changes with its content alone."""
    page = PageFiles("registry.ui")
    sent = page.response(GET, "dom.js")
    known = make_mocked_request("GET", "/ui/dom.js", headers={"If-None-Match": sent.headers["ETag"]})
    assert page.response(known, "dom.js").status == 304
    assert page.response(known, "style.css").status == 200
    assert PageFiles("worker.ui").response(known, "dom.js").status == 304
