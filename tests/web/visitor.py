"""Somebody at a browser, with an eye on what the pages do."""

import pathlib
import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect


class Visitor:
    """A browser's profile of its own with one tab.

    `wrongs` collects what no page of ours does: opening dialogs, running into its content security policy or into
    an error of a script, calling other servers, and answering with an error of the server.
    """

    def __init__(self, browser, gate, pictures, javascript=True):
        self.gate = gate
        self.wrongs = []
        self.pictures = pathlib.Path(pictures)
        # The gate has made its certificate itself; who trusts it is tested with other clients.
        self.context = browser.new_context(
            base_url=gate.url, ignore_https_errors=True, java_script_enabled=javascript, accept_downloads=True
        )
        self.watch = True
        self.context.on("page", self._watch_page)
        self.context.on("request", self._watch_request)
        self.context.on("response", self._watch_response)
        self.page = self.context.new_page()

    def log_in(self, user, at="/v3/tokens"):
        """Goes to a page and logs in on the way."""
        self.page.goto(at)
        expect(self.page).to_have_url(re.compile(r"/ui/login"))
        self.page.get_by_label("Username").fill(user.name)
        self.page.get_by_label("Password").fill(user.password)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page).to_have_url(self.gate.url + at)

    def inspect(self, name):
        """Takes pictures of the page in light, in dark and on a small screen, and has axe judge it."""
        page = self.page
        self.pictures.mkdir(parents=True, exist_ok=True)
        found = []
        for variant, colors, width in [("", "light", 1280), ("-dark", "dark", 1280), ("-small", "light", 360)]:
            page.emulate_media(color_scheme=colors)
            page.set_viewport_size({"width": width, "height": 800})
            page.screenshot(path=self.pictures / f"{name}{variant}.png", full_page=True)
            # On the small screen there is the same to be judged, in other places.
            violations = Axe().run(page).response["violations"] if variant != "-small" else []
            for violation in violations:
                nodes = [f"{node['html']}: {node['failureSummary']}" for node in violation["nodes"]]
                found.append(f"{name}{variant}: {violation['id']}: {violation['help']}: {nodes[:3]}")
            wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
            if wide:
                found.append(f"{name}{variant}: the page is wider than the screen")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 800})
        assert found == []

    def close(self):
        self.context.close()

    def _watch_page(self, page):
        page.on("dialog", self._watch_dialog)
        page.on("pageerror", lambda error: self._wrong(f"{page.url}: script error: {error}"))
        page.on("console", self._watch_console)

    def _watch_dialog(self, dialog):
        self._wrong(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _watch_console(self, message):
        # The browser's remark on the status of a page that the test asked for; `_watch_response` judges those.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self._wrong(f"console: {message.text}")

    def _watch_request(self, request):
        if not request.url.startswith((self.gate.url + "/", "data:", "blob:")):
            self._wrong(f"request to another server: {request.method} {request.url}")

    def _watch_response(self, response):
        if response.status >= 500:
            self._wrong(f"{response.request.method} {response.url}: {response.status}")

    def _wrong(self, text):
        if self.watch:
            self.wrongs.append(text)
