"""Texts that users choose, and addresses that anybody can make them open, are shown and never done."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "' autofocus onfocus='alert(1)",
    "</textarea></pre></title><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}${7*7}<%= 7*7 %>",
    "<form action=https://example.org><input type=submit>",
    "<meta http-equiv=refresh content='0; url=https://example.org'>",
    "&lt;b&gt; &#60;script&#62;",
    "\u202eevil\u202c and \u2066more\u2069",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_description_is_shown_as_it_is(gate, visitor, text):
    user = gate.user()
    name, _ = gate.token(user, description=text)
    visitor.log_in(user)
    page = visitor.page
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))
    expect(row).to_contain_text(text)
    expect_nothing_foreign(page)
    page.goto(f"/v3/tokens/{name}")
    expect(page.locator("dl")).to_contain_text(text)
    expect_nothing_foreign(page)
    page.get_by_role("button", name="Delete").click()
    expect_nothing_foreign(page)


@pytest.mark.parametrize("text", HOSTILE[:6])
def test_hostile_name_and_group_are_shown_as_they_are(gate, visitor, text):
    hostile = gate.user(text, groups=[text + " group"])
    administrator = gate.user("administrator", admin=True)
    visitor.log_in(hostile)
    expect_nothing_foreign(visitor.page)
    visitor.context.clear_cookies()
    visitor.log_in(administrator, at=f"/v3/users/{hostile.id}")
    for path in (f"/v3/users/{hostile.id}", "/v3/users", "/v3/auditevents", f"/v3/users/{hostile.id}?_confirm=delete"):
        visitor.page.goto(path)
        expect(visitor.page.locator("main")).to_contain_text(hostile.name)
        expect_nothing_foreign(visitor.page)


@pytest.mark.parametrize("text", HOSTILE[:6])
def test_hostile_addresses_do_nothing(gate, visitor, text):
    page = visitor.page
    user = gate.user()
    page.goto(f"/ui/login?next={quote(text)}")
    expect_nothing_foreign(page)
    page.get_by_label("Username").fill(text)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect_nothing_foreign(page)
    visitor.log_in(user)
    quoted = quote(text, safe="")
    for path in (
        f"/v3/tokens/{quoted}",
        f"/v3/{quoted}",
        f"/v3/tokens?kind={quoted}",
        f"/v3/tokens?userId={quoted}&sort={quoted}&marker={quoted}",
        f"/v3/tokens?_done={quoted}&_confirm={quoted}&{quoted}={quoted}",
        f"/ui/{quoted}",
    ):
        page.goto(path)
        expect_nothing_foreign(page)


def test_what_was_typed_and_refused_is_shown_as_it_is(gate, visitor):
    text = HOSTILE[4]
    visitor.log_in(gate.user())
    page = visitor.page
    page.locator("summary", has_text="Create").click()
    form = page.locator("details", has=page.locator("summary", has_text="Create"))
    form.get_by_label("description").fill(text)
    form.get_by_label("ttl", exact=True).fill("9223372036854775807")
    form.get_by_role("button", name="Create").click()
    expect(form.get_by_label("description")).to_have_value(text)
    expect_nothing_foreign(page)


@pytest.mark.parametrize("target", ["https://example.org/", "//example.org/", "/\\example.org", "javascript:alert(1)", "/v3/../k8s"])
def test_login_leads_to_no_other_site(gate, visitor, target):
    user = gate.user()
    page = visitor.page
    page.goto(f"/ui/login?next={quote(target, safe='')}")
    page.get_by_label("Username").fill(user.name)
    page.get_by_label("Password").fill(user.password)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(gate.url + "/v3/tokens")


def expect_nothing_foreign(page):
    """No element that our pages do not have; that nothing ran is seen by the visitor's watch."""
    expect(page.locator("script, img, svg, iframe, object, embed, style, base, [onerror], [onload], [onfocus]")).to_have_count(0)
    expect(page.locator("meta[http-equiv], form[action^=http], a[href^='javascript:']")).to_have_count(0)
