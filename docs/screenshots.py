"""Take every picture of the documentation from the demo: `make screenshots`, about two minutes.

Serves the demo on a database of its own with a month of made-up sign-ins, walks through it, and
ends it. Each page is taken at a desktop's and at a phone's width, light and dark. Needs Playwright,
Pillow and a Chromium, found on the PATH or named by the variable CHROMIUM.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = Path(__file__).parent / "images"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# Chromium's sandbox cannot run as root, and root is who runs containers.
ARGS = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []

#: In CSS pixels; the admin, which has two columns beside its list, needs more of them.
DESKTOP, WIDE, PHONE = (960, 700), (1280, 860), (390, 844)

CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 {}Safari/537.36"
SAFARI = (
    "Mozilla/5.0 ({}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 {}/15E148 Safari/604.1"
)
LINUX = CHROME.format("X11; Linux x86_64", "")
WINDOWS = CHROME.format("Windows NT 10.0; Win64; x64", "") + " Edg/150.0"
ANDROID = CHROME.format("Linux; Android 16; Pixel 10", "Mobile ")
IPHONE = SAFARI.format("iPhone; CPU iPhone OS 26_0 like Mac OS X", "Mobile")
FIREFOX = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:153.0) Gecko/20100101 Firefox/153.0"
AGENTS = (LINUX, WINDOWS, ANDROID, IPHONE, FIREFOX)

#: Alice's other devices: agent, address, signed in and last seen so many hours ago, and the reason
#: why it ended then.
ALICES = (
    (IPHONE, "2001:db8:85a3:8d3:1319:8a2e:370:7348", 24 * 19, 2, ""),
    (WINDOWS, "198.51.100.23", 24 * 6, 20, ""),
    (ANDROID, "203.0.113.60", 24 * 12, 24 * 3, "user"),
    (FIREFOX, "192.0.2.7", 24 * 20, 24 * 9, "logout"),
)
OTHERS = ("ben", "carla", "dmitri", "emeka", "fatima", "gudrun", "hiroshi", "ines", "jonas")
NOTICES = ("new_device", "reuse")
ENDINGS = ("logout", "logout", "logout", "user", "admin", "replaced")

#: Where the lowest thing that is seen ends.
BOTTOM = """Math.max(...[...document.body.querySelectorAll("*")]
    .filter(element => element.checkVisibility())
    .map(element => element.getBoundingClientRect().bottom)
)"""


# The demo, and what happened there before


def make_history() -> dict[str, str]:
    """Fill the demo's database; return its two e-mails as HTML, by their names."""
    import django  # noqa: PLC0415  # finds the database in the environment, which main() sets

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415  # Django must be set up

    from demo_project.management.commands.demo import PEOPLE, ensure_person  # noqa: PLC0415  # the same
    from tokenauth.pages.notices import compose  # noqa: PLC0415  # the same

    call_command("migrate", interactive=False, verbosity=0)
    for username, fields in PEOPLE.items():
        ensure_person(username, **fields)
    for device in ALICES:
        sign_in("alice", *device)
    chance = random.Random(7)  # noqa: S311  # the same month every time
    for hours in range(2, 24 * 29, 7):
        ends = chance.random() < 0.4
        seen = chance.randrange(1, hours) if ends else int(hours * chance.random() ** 3) + 1
        address = f"192.0.2.{chance.randrange(1, 255)}"
        who, agent = chance.choice(OTHERS), chance.choice(AGENTS)
        sign_in(who, agent, address, hours, seen, chance.choice(ENDINGS) if ends else "")
    session = sign_in("gudrun", FIREFOX, "203.0.113.9", 24 * 11, 24 * 8, "reuse")
    site = {"site_name": "example.com", "origin": "https://example.com"}
    messages = {name: compose(name, session, site, "gudrun@example.com") for name in NOTICES}
    return {name: str(message.alternatives[0][0]) for name, message in messages.items()}


def sign_in(username: str, agent: str, address: str, *life: Any) -> Any:
    """Make a session; ``life``: begun and last seen so many hours ago, and why it ended."""
    from django.contrib.auth.models import User  # noqa: PLC0415  # Django must be set up
    from django.test import RequestFactory  # noqa: PLC0415  # the same
    from django.utils import timezone  # noqa: PLC0415  # the same

    from tokenauth.models import AuthSession  # noqa: PLC0415  # the same

    begun, seen, reason = life
    user, _ = User.objects.get_or_create(username=username)
    request = RequestFactory().get("/", HTTP_USER_AGENT=agent, REMOTE_ADDR=address)
    session = AuthSession.objects.start(request, user)
    begin, last = (timezone.now() - timedelta(hours=hours) for hours in (begun, seen))
    session.created_at, session.rotation = begin, (begun - seen) // 2
    session.rotated_at = session.last_seen_at = last
    session.expires_at = last + timedelta(days=30)
    session.absolute_expires_at = begin + timedelta(days=180)
    session.revoked_at, session.revoke_reason = (last if reason else None), reason
    session.save()
    return session


@contextmanager
def serve() -> Iterator[str]:
    """Run the demo until the block ends; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "manage.py", "demo", f"--port={port}"]
    process = subprocess.Popen(  # noqa: S603  # our own words
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not listens(port):
            if process.poll() is not None:
                raise SystemExit("The demo did not start: try `make demo`.")
            time.sleep(0.1)
        yield f"http://localhost:{port}"
    finally:
        process.send_signal(signal.SIGINT)  # Ctrl-C
        process.wait(20)


def listens(port: int) -> bool:
    """Tell whether the demo answers."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


# The pictures


def shoot(page: Page, name: str, desktop: tuple[int, int] = DESKTOP, start: str = "body") -> None:
    """Take the page four times, from where ``start`` begins."""
    for screen, (width, height) in (("desktop", desktop), ("phone", PHONE)):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            save(page, f"{name}-{screen}-{scheme}", width, height, start)
    page.set_viewport_size({"width": desktop[0], "height": desktop[1]})
    page.emulate_media(color_scheme="light")


def save(page: Page, name: str, width: int, height: int, start: str = "body") -> None:
    """Write what is seen, and no empty room below it, as a PNG of 256 colours."""
    top = max(0, page.evaluate("s => document.querySelector(s).getBoundingClientRect().y", start))
    bottom = page.evaluate(BOTTOM)
    clip = {"x": 0, "y": top, "width": width, "height": min(height, bottom - top + 24)}
    png = page.screenshot(full_page=True, clip=clip, animations="disabled", caret="hide")
    picture = Image.open(BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(IMAGES / f"{name}.png", optimize=True)


# The tour


def open_page(browser: Browser, url: str, agent: str = LINUX, scale: float = 1) -> Page:
    """Open a browser of somebody's own."""
    width, height = DESKTOP
    context = browser.new_context(
        base_url=url,
        user_agent=agent,
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
    )
    return context.new_page()


def enter(page: Page, name: str) -> None:
    """Sign in on the login page."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(f"demo-{name}")
    press(page.get_by_role("button", name="Sign in"))


def press(target: Locator) -> None:
    """Press a button or follow a link, and wait for the page that comes."""
    with target.page.expect_navigation():
        target.click()


def go_on_until(page: Page, text: str) -> None:
    """Press "Continue" until the play has come that far: tokens live 30 seconds in the demo."""
    for _ in range(90):
        if page.get_by_text(text).count():
            return
        page.wait_for_timeout(1_000)
        press(page.locator("button, a.button").filter(has_text="Continue"))
    raise SystemExit(f"The play never came to: {text}")


def alices_tour(page: Page) -> None:
    """Sign in, look at the devices, play both plays."""
    page.goto("/auth/login/")
    shoot(page, "login")
    enter(page, "alice")
    page.goto("/auth/sessions/")
    shoot(page, "devices")
    page.goto("/auth/demo/thief/")
    press(page.get_by_role("button", name="Copy my refresh token"))
    page.goto("/private/")
    page.get_by_text("Expired.").wait_for(timeout=60_000)
    press(page.get_by_role("link", name="Reload"))
    # A few seconds in, so that the picture shows the countdown under way.
    page.wait_for_timeout(8_000)
    shoot(page, "private")
    page.goto("/auth/demo/thief/")
    go_on_until(page, "Whoever comes with")
    shoot(page, "thief")
    press(page.get_by_role("button", name="Use the copy elsewhere"))
    shoot(page, "thief-noticed")
    press(page.get_by_role("link", name="Click on as usual"))
    shoot(page, "login-why")
    enter(page, "alice")
    page.goto("/auth/sessions/")
    shoot(page, "devices-ended", start=".tokenauth-theft")
    page.goto("/auth/demo/lost-answer/")
    press(page.get_by_role("button", name="Lose the next answer"))
    go_on_until(page, "The answer is lost.")
    press(page.get_by_role("link", name="Click on as usual"))
    shoot(page, "lost-answer")


def admins_tour(page: Page) -> None:
    """Look at the sessions, at one of them, at a person, and at what is asked first."""
    page.goto("/admin/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill("demo-admin")
    press(page.get_by_role("button", name="Log in"))
    page.goto("/admin/tokenauth/authsession/")
    shoot(page, "admin-list", WIDE)
    press(page.get_by_role("link", name="ines", exact=True).first)
    shoot(page, "admin-person", WIDE, ".tokenauth-user-sessions")
    press(page.get_by_role("link", name="Sign out everywhere"))
    shoot(page, "admin-sign-out", (1280, 420))
    page.goto("/admin/tokenauth/authsession/")
    press(page.locator("#result_list .field-name a").nth(3))
    shoot(page, "admin-session", WIDE)
    page.goto("/admin/tokenauth/authsession/?q=admin")
    press(page.locator("#result_list .field-name a").first)
    press(page.get_by_role("button", name="Revoke"))
    shoot(page, "admin-own", (1280, 420))


def main() -> None:
    """Take all pictures."""
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DEMO_DATABASE"] = str(Path(folder, "demo.sqlite3"))
        os.environ["DJANGO_SETTINGS_MODULE"] = "demo_project.settings"
        notices = make_history()
        with serve() as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
            admins_tour(open_page(browser, url))
            alices_tour(open_page(browser, url))
            for name, html in notices.items():
                page = open_page(browser, url)
                page.set_content(html)
                shoot(page, f"notice-{name.replace('_', '-')}", (640, 480))
            browser.close()


if __name__ == "__main__":
    main()
