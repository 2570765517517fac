"""What axe says of each page, in light, in dark and on a small screen. Their pictures are in `target/web`."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def administrator(gate, visitor):
    user = gate.user("Grace Hopper", admin=True, groups=["developers", "on call"])
    gate.token(user, description="laptop")
    gate.token(user, description="build server, until the summer", ttl=86_400_000)
    visitor.log_in(user)
    return user


def test_login(visitor):
    page = visitor.page
    page.goto("/ui/login")
    visitor.inspect("login")
    page.get_by_label("Username").fill("Grace Hopper")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    visitor.inspect("login-refused")


def test_pages(visitor, administrator):
    for path, picture in [
        ("/v3", "root"),
        ("/v3/tokens", "tokens"),
        ("/v3/tokens?kind=api-key&expired=false&sort=name&order=desc&limit=1", "tokens-filtered"),
        ("/v3/tokens?kind=compose-token", "tokens-none"),
        ("/v3/tokens?kind=nonsense", "tokens-refused"),
        ("/v3/users", "users"),
        ("/v3/settings", "settings"),
        ("/v3/settings/auth-token-max-ttl-minutes", "setting"),
        ("/v3/features", "features"),
        ("/v3/features/token-hashing", "feature"),
        ("/v3/clusters", "clusters"),
        ("/v3/clusters/local", "cluster"),
        ("/v3/projects", "projects"),
        ("/v3/auditevents", "audit-events"),
        ("/v3/schemas", "schemas"),
        ("/v3/schemas/token", "schema"),
        ("/v3/tokens/token-xxxxx", "not-found"),
        ("/v3/nonsense", "no-such-path"),
        ("/ui/password", "password"),
    ]:
        visitor.page.goto(path)
        visitor.inspect(picture)


def test_pages_of_things_of_ones_own(gate, visitor, administrator):
    name = next(token["id"] for token in gate.tokens(administrator).values() if token["kind"] == "api-key")
    other = gate.user("Somebody Else")
    for path, picture in [
        (f"/v3/tokens/{name}", "token"),
        (f"/v3/tokens/{name}?_confirm=delete", "token-question"),
        (f"/v3/users/{other.id}", "user"),
        (f"/v3/users/{administrator.id}", "user-self"),
    ]:
        visitor.page.goto(path)
        for summary in visitor.page.locator("summary").all():
            if summary.locator("xpath=..").get_attribute("open") is None:
                summary.click()
        visitor.inspect(picture)


def test_results(visitor, administrator):
    page = visitor.page
    page.locator("summary", has_text="Create").click()
    visitor.inspect("token-create")
    form = page.locator("details", has=page.locator("summary", has_text="Create"))
    form.get_by_label("description").fill("for the build server")
    form.get_by_label("ttl", exact=True).fill("400")
    form.get_by_role("button", name="Create").click()
    expect(page.locator("pre.secret")).to_be_visible()
    visitor.inspect("token-created")
    page.goto("/v3/tokens?kind=api-key")
    page.get_by_role("button", name="Delete all that match").click()
    visitor.inspect("tokens-delete")
    page.get_by_role("link", name="Cancel").click()


def test_page_of_somebody_who_may_not(gate, visitor):
    visitor.log_in(gate.user())
    visitor.page.goto("/v3/users")
    visitor.inspect("users-plain")
    visitor.page.goto("/v3/auditevents")
    visitor.inspect("forbidden")


def test_keyboard_alone_goes_all_the_way(gate, visitor):
    user = gate.user()
    page = visitor.page
    page.goto("/ui/login")
    # The browser gives it the focus by itself, a moment after the page is there.
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type(user.name)
    page.keyboard.press("Tab")
    page.keyboard.type(user.password)
    page.keyboard.press("Enter")
    expect(page).to_have_url(gate.url + "/v3/tokens")
    page.wait_for_load_state()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")
