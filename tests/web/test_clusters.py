"""Clusters on pages: added by a form, tried, narrowed, downloaded for, and deleted after a look at what that cuts."""

import json
import pathlib
import re

import pytest
from playwright.sync_api import expect

both = pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])


@pytest.fixture
def kubeconfig(facts):
    """That of an account for the gate, as its operator has it."""
    return pathlib.Path(facts["cluster_kubeconfig"]).read_text()


def panel(page, title):
    form = page.locator("details", has=page.locator("summary", has_text=title))
    if form.get_attribute("open") is None:
        form.locator("summary").click()
    return form


@both
def test_cluster_is_added_tried_and_deleted(gate, visitors, kubeconfig, javascript):
    name = f"by-page-{'with' if javascript else 'without'}"
    secret = json.loads(kubeconfig)["users"][0]["user"]["token"]
    visitor = visitors(javascript=javascript)
    visitor.log_in(gate.user(admin=True), at="/v3/clusters")
    page = visitor.page
    form = panel(page, re.compile("^Create$"))
    form.get_by_label(re.compile("^name")).fill(name)
    form.get_by_label("credential.kubeconfig", exact=True).fill(kubeconfig)
    form.get_by_role("button", name="Create").click()
    expect(page.get_by_role("status")).to_have_text("Created.")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"cluster {name}")
    assert secret not in page.content()
    expect(page.locator("dl")).to_contain_text("credential.kind")
    if javascript:
        visitor.inspect("cluster-added")
    here = page.url.split("?")[0]

    page.get_by_role("button", name="Test").click()
    expect(page.get_by_role("status")).to_have_text("The server can use this cluster.")
    page.get_by_role("link", name="Back to the cluster").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("main")).to_contain_text("Open streams that are cut: 0.")
    page.get_by_role("link", name="Cancel").click()
    assert page.goto(here).status == 200
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, delete").click()
    expect(page.get_by_role("status")).to_have_text("Deleted.")
    assert page.goto(here).status == 404


def test_credential_that_is_refused_is_named_and_not_shown_again(gate, visitor, kubeconfig):
    config = json.loads(kubeconfig)
    config["users"][0]["user"]["token"] = "nobody-knows-this-one"
    visitor.log_in(gate.user(admin=True), at="/v3/clusters")
    page = visitor.page
    form = panel(page, re.compile("^Create$"))
    form.get_by_label(re.compile("^name")).fill("local")
    form.get_by_label("credential.kubeconfig", exact=True).fill(json.dumps(config))
    form.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("Another cluster has this name")
    assert "nobody-knows-this-one" not in page.content()
    form = panel(page, re.compile("^Create$"))
    form.get_by_label(re.compile("^name")).fill("refused")
    form.get_by_label("credential.kubeconfig", exact=True).fill(json.dumps(config))
    form.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_role("alert")).to_have_text("The server can't use this cluster.")
    expect(page.locator("main")).to_contain_text("refuses our credential")
    assert "nobody-knows-this-one" not in page.content()


def test_cluster_is_narrowed_and_others_see_it_no_more(gate, visitor, visitors, kubeconfig):
    administrator = gate.user(admin=True)
    body = {"name": "narrow", "credential": {"kubeconfig": kubeconfig}}
    made = gate.api("POST", "/v3/clusters", body, administrator.bearer)
    other = visitors()
    other.log_in(gate.user(), at=f"/v3/clusters/{made['id']}")
    expect(other.page.get_by_role("button", name="Delete")).to_have_count(0)
    expect(other.page.get_by_role("button", name="Test")).to_have_count(0)
    assert "https://127.0.0.1" not in other.page.locator("dl").inner_text()

    visitor.log_in(administrator, at=f"/v3/clusters/{made['id']}")
    form = panel(visitor.page, "Edit")
    form.get_by_label("access.everybody", exact=True).select_option("false")
    form.get_by_label("access.groups", exact=True).fill("on call\ndevelopers")
    form.get_by_role("button", name="Save").click()
    expect(visitor.page.get_by_role("status")).to_have_text("Changed.")
    now = gate.api("GET", f"/v3/clusters/{made['id']}", None, administrator.bearer)
    assert now["access"] == {"everybody": False, "users": [], "groups": ["on call", "developers"]}
    assert other.page.goto(f"/v3/clusters/{made['id']}").status == 404
    gate.api("DELETE", f"/v3/clusters/{made['id']}", None, administrator.bearer)


def test_kubeconfig_for_several_clusters_works_in_each_context(gate, visitor, kubeconfig):
    administrator = gate.user(admin=True)
    body = {"name": "another", "credential": {"kubeconfig": kubeconfig}}
    made = gate.api("POST", "/v3/clusters", body, administrator.bearer)
    user = gate.user()
    visitor.log_in(user, at="/v3/clusters")
    page = visitor.page
    form = panel(page, "Kubeconfig for several")
    form.get_by_label("clusters", exact=True).fill("local\nanother")
    with page.expect_download() as download:
        form.get_by_role("button", name="Download a kubeconfig").click()
    text = download.value.path().read_text()
    for context in ("local", "another"):
        shown = gate.kubectl_with(text, "--context", context, "auth", "whoami")
        assert user.name in shown.stdout, shown
    gate.api("DELETE", f"/v3/clusters/{made['id']}", None, administrator.bearer)


def test_configured_cluster_can_not_be_changed_here(gate, visitor):
    visitor.log_in(gate.user(admin=True), at="/v3/clusters/local")
    page = visitor.page
    expect(page.locator(".note")).to_contain_text("configuration")
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
