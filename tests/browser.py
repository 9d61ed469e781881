"""A browser without a screen: httpx, with a jar that keeps cookies by the rules of browsers.

It visits ``https://app.site.test``: every host under ``site.test`` is the live server, behind TLS
as far as cookies and Django can tell; any other host is an error, so nobody gets there unnoticed.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.request import Request

import httpx
from django.urls import reverse

from tests.factories import PASSWORD
from tests.live import Server


class BrowserPolicy(DefaultCookiePolicy):
    """The rules that http.cookiejar lacks: host-only cookies, Secure on https, name prefixes."""

    def __init__(self) -> None:
        super().__init__(strict_ns_domain=self.DomainStrictNonDomain)

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        host_only = not cookie.domain_specified and cookie.path_specified and cookie.path == "/"
        return (
            super().set_ok(cookie, request)
            and (not cookie.secure or request.type == "https")
            and (cookie.secure or not cookie.name.startswith(("__Secure-", "__Host-")))
            and (host_only or not cookie.name.startswith("__Host-"))
        )


class Network(httpx.BaseTransport):
    """What lies between the browser and the server: the jar, and a record of every answer."""

    def __init__(self, server: Server) -> None:
        self.server = httpx.URL(f"http://127.0.0.1:{server.port}")
        # Without TLS on this line, nothing is verified; to load the certificates takes 0.1 s.
        self.transport = httpx.HTTPTransport(
            verify=False,
            limits=httpx.Limits(max_connections=None),
        )
        self.cookies = httpx.Cookies(CookieJar(BrowserPolicy()))
        self.history: list[httpx.Response] = []
        self.loses_answers = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not f".{request.url.host}".endswith(".site.test"):
            raise httpx.UnsupportedProtocol(f"Sent to another site: {request.url}")
        self.cookies.set_cookie_header(request)  # unless the test has written one itself
        response = self.transport.handle_request(
            httpx.Request(
                request.method,
                self.server.copy_with(raw_path=request.url.raw_path),
                headers=[*request.headers.raw, (b"X-Forwarded-Proto", request.url.raw_scheme)],
                stream=request.stream,
                extensions=request.extensions,
            )
        )
        response.request = request
        if self.loses_answers:
            response.close()
            raise httpx.ReadError("The answer was lost.", request=request)
        self.cookies.extract_cookies(response)
        self.history.append(response)
        return response

    def close(self) -> None:
        self.transport.close()


class Browser:
    """One person's browser. Several tabs are several threads: see ``parallel()``."""

    network_class = Network

    def __init__(self, server: Server, origin: str = "https://app.site.test") -> None:
        self.origin = httpx.URL(origin)
        self.network = self.network_class(server)
        self.client = httpx.Client(
            transport=self.network,
            base_url=origin,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # the network has the jar
            headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Firefox/153.0"},
            follow_redirects=True,
            timeout=120,
        )

    def close(self) -> None:
        self.client.close()

    # Requests

    def get(self, url: str, *, headers: dict[str, str] | None = None, **kwargs: Any):
        """Type an address, or follow a link."""
        return self.client.get(url, headers=_fetch_metadata("navigate", headers), **kwargs)

    def post_form(self, url: str, data: dict[str, Any], *, page: str | None = None, **kwargs: Any):
        """Fill in the form on ``page`` (``url`` itself by default) and send it to ``url``."""
        form = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(page or url).text)
        token = {"csrfmiddlewaretoken": form[1] if form else ""}
        return self.send_form(url, token | data, **kwargs)

    def send_form(
        self,
        url: str,
        data: dict[str, Any],
        *,
        headers: dict[str, str] | None = None,
        **kwargs: Any,
    ):
        """Send a form that was open before; ``files=`` makes it multipart."""
        headers = _fetch_metadata("navigate", {"Origin": str(self.origin)} | (headers or {}))
        return self.client.post(url, data=data, headers=headers, **kwargs)

    def fetch(self, method: str, url: str, *, headers: dict[str, str] | None = None, **kwargs: Any):
        """Call ``fetch()`` in a page of the site, with the X-CSRFToken header; ``json=`` a body."""
        own = {}
        if method not in {"GET", "HEAD"}:
            own = {"Origin": str(self.origin), "X-CSRFToken": self.value("csrftoken") or ""}
        headers = _fetch_metadata("cors", own | (headers or {}))
        return self.client.request(method, url, headers=headers, **kwargs)

    def login(self, user: Any, *, password: str = PASSWORD, remember: bool = True, **kwargs: Any):
        """Sign in on the login page."""
        data = {"username": user.get_username(), "password": password}
        return self.post_form(
            reverse("tokenauth:login"), data | ({"remember": "on"} if remember else {}), **kwargs
        )

    def logout(self):
        """Press "Sign out"; the page that has the button is open."""
        token = {"csrfmiddlewaretoken": self.value("csrftoken") or ""}
        return self.send_form(reverse("tokenauth:logout"), token)

    def parallel(self, *calls: Callable[[], Any]) -> list[Any]:
        """Make these calls at the same time; return their results in order."""
        with ThreadPoolExecutor(len(calls)) as tabs:
            return [tab.result() for tab in [tabs.submit(call) for call in calls]]

    @contextmanager
    def losing_answers(self) -> Iterator[None]:
        """Let requests reach the server and lose its answers: ``httpx.ReadError``."""
        self.network.loses_answers = True
        try:
            yield
        finally:
            self.network.loses_answers = False

    @property
    def history(self) -> list[httpx.Response]:
        """Every answer so far, each redirect too."""
        return self.network.history

    # Cookies

    @property
    def jar(self) -> CookieJar:
        return self.network.cookies.jar

    @property
    def cookies(self) -> dict[tuple[str, str], str | None]:
        """The values of the live cookies by (name, path)."""
        return {(c.name, c.path): c.value for c in self.jar if not c.is_expired()}

    def cookie(self, name: str, path: str | None = None) -> Cookie | None:
        """Return the live cookie of this name, if there is one."""
        found = (c for c in self.jar if c.name == name and path in {None, c.path})
        return next((c for c in found if not c.is_expired()), None)

    def value(self, name: str, path: str | None = None) -> str | None:
        cookie = self.cookie(name, path)
        return cookie and cookie.value

    def set_cookie(
        self, name: str, value: str, *, path: str = "/", domain: str = "", secure: bool = True
    ) -> None:
        """Put a cookie into the jar; ``domain=".site.test"`` as a sibling host would plant it."""
        self.jar.set_cookie(
            Cookie(
                version=0,
                name=name,
                value=value,
                port=None,
                port_specified=False,
                domain=domain or self.origin.host,
                domain_specified=bool(domain),
                domain_initial_dot=domain.startswith("."),
                path=path,
                path_specified=True,
                secure=secure,
                expires=None,
                discard=True,
                comment=None,
                comment_url=None,
                rest={},
            )
        )

    def drop_cookie(self, name: str) -> None:
        """Delete the cookies of this name, on whatever path."""
        for cookie in [c for c in self.jar if c.name == name]:
            self.jar.clear(cookie.domain, cookie.path, cookie.name)

    def copy_cookies(self) -> list[Cookie]:
        """Return the jar as it is now: for a thief, or for a browser that crashes later."""
        return list(self.jar)

    def paste_cookies(self, cookies: list[Cookie]) -> None:
        """Have these cookies and no others."""
        self.jar.clear()
        for cookie in cookies:
            self.jar.set_cookie(cookie)


def _fetch_metadata(mode: str, headers: dict[str, str] | None) -> dict[str, str]:
    """Return the headers of a request that comes from a page of this site."""
    destination = "document" if mode == "navigate" else "empty"
    own = {"Site": "same-origin", "Mode": mode, "Dest": destination}
    return {f"Sec-Fetch-{name}": value for name, value in own.items()} | (headers or {})
