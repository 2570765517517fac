"""Tokens on pages, from login to refusal, as people go through them. All of it works without JavaScript too."""

import re

import pytest
from playwright.sync_api import expect

from gate import PASSWORD

both = pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])


@both
def test_token_is_found_opened_and_deleted_and_then_refused(gate, visitors, javascript):
    user = gate.user()
    name, bearer = gate.token(user, description="for the old laptop")
    assert user.name in gate.kubectl(bearer, "auth", "whoami").stdout

    visitor = visitors(javascript=javascript)
    visitor.log_in(user)
    page = visitor.page
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))
    expect(row).to_contain_text("for the old laptop")
    row.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    expect(page.locator("main")).to_contain_text("for the old laptop")

    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Delete {name}?")
    page.get_by_role("link", name="Cancel").click()
    assert name in gate.tokens(user)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, delete").click()
    expect(page).to_have_url(re.compile("/v3/tokens[?]"))
    expect(page.get_by_role("status")).to_have_text("Deleted.")
    expect(page.get_by_role("link", name=name, exact=True)).to_have_count(0)

    refused = gate.kubectl(bearer, "auth", "whoami")
    assert refused.returncode != 0 and "Unauthorized" in refused.stderr, refused
    assert page.goto(f"/v3/tokens/{name}").status == 404


@both
def test_token_is_made_by_the_form_and_its_key_is_shown_once(gate, visitors, javascript):
    user = gate.user()
    visitor = visitors(javascript=javascript)
    visitor.log_in(user)
    page = visitor.page
    page.locator("summary", has_text="Create").click()
    form = page.locator("details", has=page.locator("summary", has_text="Create"))
    form.get_by_label("description").fill("for the build server")
    form.get_by_role("button", name="Create").click()

    bearer = page.locator("pre.secret").inner_text().strip()
    name = bearer.split(":")[0]
    key = bearer.split(":")[1]
    assert re.fullmatch(r"token-[a-z0-9]{5}:[a-z0-9]{54}", bearer)
    assert key not in page.url
    assert user.name in gate.kubectl(bearer, "auth", "whoami").stdout
    page.get_by_role("link", name=re.compile(name)).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    expect(page.locator("main")).to_contain_text("for the build server")
    assert key not in page.content()
    page.goto("/v3/tokens")
    assert key not in page.content()


@both
def test_form_that_is_refused_says_why_and_keeps_what_was_typed(gate, visitors, javascript):
    user = gate.user()
    visitor = visitors(javascript=javascript)
    visitor.log_in(user)
    before = gate.tokens(user)
    page = visitor.page
    page.locator("summary", has_text="Create").click()
    form = page.locator("details", has=page.locator("summary", has_text="Create"))
    form.get_by_label("description").fill("too long to live")
    form.get_by_label("ttl", exact=True).fill("9223372036854775807")
    form.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("ttl")
    expect(form.get_by_label("description")).to_have_value("too long to live")
    assert gate.tokens(user) == before


def test_lifetime_over_the_maximum_is_shortened_and_the_page_says_so(gate, visitor):
    user = gate.user()
    visitor.log_in(user)
    page = visitor.page
    page.locator("summary", has_text="Create").click()
    form = page.locator("details", has=page.locator("summary", has_text="Create"))
    form.get_by_label("ttl", exact=True).fill("400")
    form.get_by_role("button", name="Create").click()
    expect(page.locator("pre.secret")).to_be_visible()
    expect(page.locator(".notice.bad")).to_contain_text("auth-token-max-ttl-minutes")
    expect(page.locator("dl")).to_contain_text("90 days")


@both
def test_list_is_filtered_sorted_and_paged_by_links(gate, visitors, javascript):
    user = gate.user()
    names = sorted(gate.token(user, description=f"number {number}")[0] for number in range(5))
    visitor = visitors(javascript=javascript)
    visitor.log_in(user)
    page = visitor.page
    page.goto("/v3/tokens?kind=api-key&sort=name&order=desc&limit=2")
    seen = []
    while True:
        seen += page.locator("tbody th a").all_inner_texts()
        following = page.get_by_role("link", name="Next page")
        if following.count() == 0:
            break
        following.click()
    assert seen == names[::-1]
    page.goto("/v3/tokens")
    page.locator("summary", has_text="Filter").click()
    page.locator("details.filters").get_by_label("kind").select_option("session")
    page.locator("details.filters").get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr").first).to_contain_text("session")
    assert not set(page.locator("tbody th a").all_inner_texts()) & set(names)


def test_kubeconfig_that_a_page_gives_works(gate, visitor):
    user = gate.user()
    visitor.log_in(user, at="/v3/clusters")
    page = visitor.page
    page.locator("tbody th a").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download a kubeconfig").click()
    kubeconfig = download.value.path().read_text()
    shown = gate.kubectl_with(kubeconfig, "auth", "whoami")
    assert user.name in shown.stdout, shown
    made = [token for token in gate.tokens(user).values() if token["kind"] == "kubeconfig"]
    assert len(made) == 1


def test_password_is_changed_and_sessions_end_when_asked(gate, visitor):
    user = gate.user()
    name, bearer = gate.token(user)
    visitor.log_in(user, at="/ui/password")
    page = visitor.page
    page.get_by_label("Current password").fill(user.password)
    page.get_by_label("New password", exact=True).fill(PASSWORD + ", a new one")
    page.get_by_label("New password, once more").fill(PASSWORD + ", a new one")
    page.get_by_label("End my other sessions").check()
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("status")).to_contain_text("changed")
    assert gate.ask("GET", "/v3/tokens", None, user.bearer)[0] == 401
    assert gate.ask("GET", "/v3/tokens", None, bearer)[0] == 200
    user.password += ", a new one"
    visitor.context.clear_cookies()
    visitor.log_in(user)
