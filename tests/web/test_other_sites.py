"""Pages of other servers can neither change nor see anything with the session that the visitor has here."""

import html
import json

import pytest
from playwright.sync_api import expect

from gate import PASSWORD
from other_site import other_site

PLANTED = "0123456789abcdef0123456789abcdef"


@pytest.fixture(params=["127.0.0.1", "localhost"], ids=["same host", "other host"])
def other(request, facts):
    with other_site(request.param, facts["other_pem"]) as site:
        yield site


@pytest.fixture
def victim(gate, visitor):
    user = gate.user("victim", admin=True)
    gate.token(user, description="to be kept")
    visitor.log_in(user)
    # From here on there are requests that the browser or the gate refuses; the tests judge them by what comes of them.
    visitor.watch = False
    return user


def forms(gate, name, user):
    """What would do harm if it came from a page of ours: path and fields."""
    attacker = gate.user("attacker")
    new_password = {"currentPassword": PASSWORD, "newPassword": "x" * 20, "again": "x" * 20, "revokeTokens": "all"}
    return [
        (f"/v3/tokens/{name}", {"_method": "DELETE"}),
        (f"/v3/tokens/{name}?_method=DELETE", {}),
        (f"/v3/tokens/{name}?action=disable", {}),
        (f"/v3/tokens/{name}?action=rotate", {}),
        ("/v3/tokens?kind=api-key", {"_method": "DELETE"}),
        ("/v3/tokens", {"description": "evil"}),
        ("/v3/tokens?action=logout", {}),
        (f"/v3/users/{user.id}", {"_method": "PUT", "enabled": "false"}),
        ("/v3/users", {"username": "evil", "password": PASSWORD, "admin": "true"}),
        ("/v3/settings/password-min-length", {"_method": "PUT", "value": "1"}),
        ("/ui/logout", {}),
        ("/ui/password", new_password),
        ("/ui/login", {"username": attacker.name, "password": attacker.password}),
    ]


@pytest.mark.parametrize("planted", [False, True], ids=["", "with a planted CSRF cookie"])
def test_forms_of_another_site_change_nothing(gate, visitor, victim, other, planted):
    before = state(gate, victim)
    name = key_of(gate, victim)
    if planted:
        other.cookies = [f"CSRF={PLANTED}; Path={path}; Secure" for path in ("/", "/v3", "/v3/tokens", "/ui")]
    for path, fields in forms(gate, name, victim):
        fields = {"_csrf": PLANTED, **fields}
        answer = submit(visitor.page, other, gate.url + path, fields)
        assert answer.status in (403, 422), f"{path}: {answer.status}"
        expect_unharmed(gate, visitor, victim, before)


def test_json_in_a_form_of_another_site_changes_nothing(gate, visitor, victim, other):
    before = state(gate, victim)
    body = json.dumps({"description": "evil", "pad": "="})
    field, value = body.split("=")
    inputs = f"<input name='{html.escape(field, quote=True)}' value='{html.escape(value, quote=True)}'>"
    answer = post(visitor.page, other, f"<form method=post enctype=text/plain action='{gate.url}/v3/tokens'>{inputs}</form>")
    assert answer.status >= 400
    expect_unharmed(gate, visitor, victim, before)


def test_scripts_of_another_site_neither_write_nor_read(gate, visitor, victim, other):
    before = state(gate, victim)
    name = key_of(gate, victim)
    visitor.page.goto(other.page("/", "<title>other</title>"))
    ask = """async ([url, options]) => {
        try {
            const answer = await fetch(url, {credentials: 'include', ...options});
            return [answer.type, await answer.text()];
        } catch (error) { return ['refused', '']; }
    }"""
    written = json.dumps({"description": "evil"})
    for path, options in [
        ("/v3/tokens", {}),
        ("/v3/tokens", {"mode": "no-cors"}),
        (f"/v3/tokens/{name}", {"method": "DELETE"}),
        (f"/v3/tokens/{name}", {"method": "DELETE", "headers": {"X-API-CSRF": PLANTED}}),
        ("/v3/tokens", {"method": "POST", "body": written, "headers": {"Content-Type": "application/json"}}),
        ("/v3/tokens", {"method": "POST", "body": written, "mode": "no-cors"}),
        (f"/v3/tokens/{name}?action=disable", {"method": "POST", "mode": "no-cors"}),
        ("/v3/tokens?action=logout", {"method": "POST", "mode": "no-cors"}),
        ("/ui/logout", {"method": "POST", "mode": "no-cors"}),
    ]:
        kind, text = visitor.page.evaluate(ask, [gate.url + path, options])
        assert kind in ("refused", "opaque") and text == "", (path, options, kind)
    expect_unharmed(gate, visitor, victim, before)


def test_addresses_that_are_only_opened_change_nothing(gate, visitor, victim, other):
    before = state(gate, victim)
    name = key_of(gate, victim)
    for path in (
        f"/v3/tokens/{name}?_method=DELETE",
        f"/v3/tokens/{name}?action=remove",
        f"/v3/tokens/{name}?_confirm=delete",
        f"/v3/tokens/{name}?action=disable",
        "/v3/tokens?action=logout",
        "/ui/logout",
    ):
        visitor.page.goto(other.page("/", f"<a href='{gate.url}{path}'>go</a>"))
        visitor.page.get_by_role("link", name="go").click()
        # A page that lets the browser come again, this time from us, is on the way.
        visitor.page.wait_for_load_state("networkidle")
        expect_unharmed(gate, visitor, victim, before)


def test_pages_cannot_be_framed(gate, visitor, victim, other):
    visitor.page.goto(other.page("/", f"<iframe src='{gate.url}/v3/tokens'></iframe>"), wait_until="load")
    frame = visitor.page.frames[1]
    assert "to be kept" not in frame.content()
    assert victim.name not in frame.content()


def test_window_that_another_site_opens_cannot_be_looked_into(gate, visitor, victim, other):
    visitor.page.goto(other.page("/", "<title>other</title>"))
    with visitor.context.expect_page() as opened:
        visitor.page.evaluate("url => { window.opened = window.open(url) }", gate.url + "/v3/tokens")
    opened.value.wait_for_load_state()
    seen = visitor.page.evaluate("""() => {
        try { return String(window.opened.document.body.innerText) } catch (error) { return 'refused' }
    }""")
    assert seen in ("refused", "")


def test_link_on_another_site_leads_to_the_page_it_names(gate, visitor, victim, other):
    name = next(iter(gate.tokens(victim)))
    visitor.page.goto(other.page("/", f"<a href='{gate.url}/v3/tokens/{name}'>go</a>"))
    visitor.page.get_by_role("link", name="go").click()
    expect(visitor.page.get_by_role("heading", level=1)).to_contain_text(name)


def submit(page, other, action, fields):
    inputs = "".join(
        f"<input name='{html.escape(name)}' value='{html.escape(value, quote=True)}'>" for name, value in fields.items()
    )
    return post(page, other, f"<form method=post action='{html.escape(action, quote=True)}'>{inputs}</form>")


def post(page, other, form):
    """Opens a page with a form and has its script send it; the answer of the server that it goes to."""
    page.goto(other.page("/", f"<title>other</title>{form}"))
    with page.expect_navigation() as navigation:
        page.evaluate("document.forms[0].submit()")
    return navigation.value


def key_of(gate, victim):
    return next(token["id"] for token in gate.tokens(victim).values() if token["kind"] == "api-key")


def state(gate, victim):
    """All that must stay as it is."""
    users = gate.api("GET", "/v3/users", None, gate.administrator.bearer)["data"]
    attackers = [user for user in users if user["username"].startswith("attacker")]
    setting = gate.ask("GET", "/v3/settings/password-min-length", None, gate.administrator.bearer)
    return gate.tokens(victim), [user for user in users if user not in attackers], setting


def expect_unharmed(gate, visitor, victim, before):
    """Everything is what it was, and the session goes on and is the victim's."""
    assert state(gate, victim) == before
    visitor.page.goto(f"{gate.url}/v3/tokens")
    expect(visitor.page.locator("header")).to_contain_text(victim.name)
    expect(visitor.page.locator("main")).to_contain_text("to be kept")
