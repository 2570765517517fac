"""Logs in at a page of the server and takes a picture of what is shown then."""

import os
import pathlib
import sys

from playwright.sync_api import sync_playwright


def main(url, user, password_file, picture):
    password = pathlib.Path(password_file).read_text().rstrip("\n")
    # Chromium does not run as root with its sandbox.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    chromium = pathlib.Path(sys.executable).with_name("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        # The server has made its certificate itself, on this machine, a minute ago.
        page = browser.new_page(ignore_https_errors=True, viewport={"width": 1280, "height": 600})
        page.goto(url)
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(url)
        page.screenshot(path=picture)
        browser.close()


main(*sys.argv[1:])
