"""Take the pictures of the README: run `make demo`, then `python docs/screenshots.py [URL]`.

Needs Playwright and a Chromium, found on the PATH or named by the variable CHROMIUM.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

URL = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"
IMAGES = Path(__file__).parent / "images"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# Chromium's sandbox cannot run as root, and root is who runs containers.
ARGS = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []


def main() -> None:
    """Sign in as alice, let one access token expire, photograph the private page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = browser.new_page(viewport={"width": 860, "height": 515}, device_scale_factor=2)
        page.goto(f"{URL}/private/")
        page.get_by_label("Username").fill("alice")
        page.get_by_label("Password").fill("demo-alice")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("Expired.").wait_for(timeout=60_000)
        page.get_by_role("link", name="Reload").click()
        # A few seconds in, so that the picture shows the countdown under way.
        page.wait_for_timeout(8_000)
        page.screenshot(path=IMAGES / "demo.png")
        browser.close()


if __name__ == "__main__":
    main()
