"""Around the pages of allauth: a provider that is down is no error of ours, and the picture."""

import time
from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from requests import RequestException

from demo_project.example_id import hops
from demo_project.example_id.adapter import SILENT, back_to_login


class ExampleIDMiddleware:
    """Stand between tokenauth's middleware and the views."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Put what was noted into the Django session of whoever is signed in now.

        Only here: a login over somebody else's begins with an empty one.
        """
        request.__dict__["example_id_at"] = time.time()
        response = self.get_response(request)
        noted = request.__dict__.get("example_id_hops")
        if noted is not None and request.user.is_authenticated:
            request.session[hops.KEY] = noted
            picture = reverse("example_id_hops")
            if response.headers.get("Location") != picture:
                words = 'You came by Example ID: <a href="{}">see the six hops</a>.'
                messages.info(request, format_html(words, picture))
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Lead back to the login page where allauth lets through that nobody answered.

        It asks for the provider's addresses before it begins to catch errors.
        """
        if isinstance(exception, RequestException):
            return back_to_login(request, SILENT)
        return None
