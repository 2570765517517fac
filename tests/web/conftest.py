"""What every test of the pages has: the running gate, and browsers that watch what their pages do."""

import json
import os
import pathlib

import pytest
from playwright.sync_api import sync_playwright

from gate import Gate
from visitor import Visitor


@pytest.fixture(scope="session")
def facts():
    """What `tests/it/web_pages.rs` says of the gate it has started."""
    return json.loads(pathlib.Path(os.environ["PORTCULLIS_WEB_FACTS"]).read_text())


@pytest.fixture(scope="session")
def gate(facts):
    return Gate(facts)


@pytest.fixture(scope="session")
def browser(facts):
    # Chromium does not run as root with its sandbox. The other flags keep it from calling home.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    flags += ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=facts["chromium"], args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visitors(browser, gate, facts):
    """Makes visitors: `visitors(javascript=False)`. At its end the test fails if a page did what no page of ours does."""
    made = []

    def make(**options):
        visitor = Visitor(browser, gate, facts["pictures"], **options)
        made.append(visitor)
        return visitor

    yield make
    for visitor in made:
        visitor.close()
    assert [wrong for visitor in made for wrong in visitor.wrongs] == []


@pytest.fixture
def visitor(visitors):
    return visitors()
