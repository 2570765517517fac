"""The session of a browser: how it begins and ends, and what its cookie is good for."""

import re

from playwright.sync_api import expect


def test_wrong_password_is_refused_and_says_no_more(gate, visitor):
    user = gate.user()
    page = visitor.page
    said = []
    for name in (user.name, "nobody at all"):
        page.goto("/ui/login")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill("not the password")
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(re.compile("/ui/login"))
        said.append(page.get_by_role("alert").inner_text())
    assert said[0] == said[1] != ""
    assert all(cookie["name"] != "R_SESS" for cookie in visitor.context.cookies())


def test_cookie_is_for_this_server_and_no_script(gate, visitor):
    visitor.log_in(gate.user())
    cookies = {cookie["name"]: cookie for cookie in visitor.context.cookies()}
    session = cookies["R_SESS"]
    assert session["httpOnly"] and session["secure"] and session["sameSite"] == "Strict"
    # It ends with the browser, and the server ends it sooner.
    assert session["expires"] == -1
    assert "R_SESS" not in visitor.page.evaluate("document.cookie")
    visitor.page.goto("/v3/tokens")
    headers = visitor.page.reload().headers
    assert "no-store" in headers["cache-control"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_cookie_does_not_open_the_cluster(gate, visitor):
    user = gate.user()
    visitor.log_in(user)
    session = next(cookie for cookie in visitor.context.cookies() if cookie["name"] == "R_SESS")
    cookie = {"Cookie": f"R_SESS={session['value']}"}
    assert gate.ask("GET", "/v3/tokens", headers=cookie)[0] == 200
    for path in ("/version", "/api", "/api/v1/namespaces/default/secrets", "/k8s/clusters/local/api"):
        assert gate.ask("GET", path, headers=cookie)[0] == 401, path


def test_logging_out_ends_the_session_everywhere(gate, visitor):
    user = gate.user()
    name, _ = gate.token(user, description="seen before logging out")
    visitor.log_in(user)
    session = next(cookie for cookie in visitor.context.cookies() if cookie["name"] == "R_SESS")
    visitor.page.get_by_role("button", name="Log out").click()
    expect(visitor.page).to_have_url(re.compile("/ui/login"))
    assert all(cookie["name"] != "R_SESS" for cookie in visitor.context.cookies())
    assert gate.ask("GET", "/v3/tokens", headers={"Cookie": f"R_SESS={session['value']}"})[0] == 401
    # The browser has kept nothing that Back could show.
    visitor.page.go_back()
    expect(visitor.page.get_by_label("Username")).to_be_visible()
    assert name not in visitor.page.content()


def test_session_that_was_ended_elsewhere_leads_to_the_login_and_back(gate, visitor):
    user = gate.user()
    name, _ = gate.token(user)
    visitor.log_in(user)
    for token in gate.tokens(user).values():
        if token["kind"] == "session" and not token.get("current"):
            gate.api("DELETE", f"/v3/tokens/{token['id']}", None, user.bearer)
    visitor.log_in(user, at=f"/v3/tokens/{name}")
    expect(visitor.page.get_by_role("heading", level=1)).to_contain_text(name)


def test_disabled_user_is_out_at_once(gate, visitor):
    user = gate.user()
    visitor.log_in(user)
    gate.api("PUT", f"/v3/users/{user.id}", {"enabled": False}, gate.administrator.bearer)
    visitor.page.goto("/v3/tokens")
    expect(visitor.page.get_by_label("Username")).to_be_visible()


def test_user_sees_nothing_of_others(gate, visitor):
    other = gate.user("other")
    name, _ = gate.token(other, description="not to be seen")
    visitor.log_in(gate.user())
    page = visitor.page
    assert "not to be seen" not in page.content()
    assert page.goto(f"/v3/tokens/{name}").status == 404
    page.goto(f"/v3/tokens?userId={other.id}")
    assert "not to be seen" not in page.content()
    assert page.goto(f"/v3/users/{other.id}").status == 404
    assert other.name not in page.content()
