"""The API's description for drf-spectacular, and that the API keeps to it (schemathesis)."""

import os
from io import StringIO

import pytest
import schemathesis
from django.core.management import call_command
from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import positive_data_acceptance

from tests.factories import PASSWORD, SessionFactory
from tests.processes import run_python
from tests.prove import tally
from tests.views import ForApps, Ping
from tokenauth.request import cookies
from tokenauth.session import tokens
from tokenauth.session.devices import Client
from tokenauth.session.jwt.access_claims import APP
from tokenauth.urls import urlpatterns as auth_urls

CSRF_TOKEN = "c" * 32
LOGIN, DELETE = "POST /auth/api/login/", "DELETE /auth/api/sessions/{id}/"
OPERATIONS = [
    LOGIN,
    "POST /auth/api/logout/",
    "GET /auth/api/session/",
    "GET /auth/api/sessions/",
    DELETE,
    "POST /auth/api/sessions/revoke-others/",
]
OF_APPS = ["POST /auth/token/", "POST /auth/token/revoke/"]
PROFILE = settings(
    max_examples=max(10, int(os.environ.get("TOKENAUTH_FUZZ_EXAMPLES", "500")) // 10),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
urlpatterns = [path("auth/", include("tokenauth.urls"))]

pytestmark = pytest.mark.urls(__name__)


def operations():
    """Return what the schema offers, by method and path."""
    document = SchemaGenerator().get_schema(request=None, public=True)
    api = schemathesis.openapi.from_dict(document)
    return {found.ok().label: found.ok() for found in api.get_all_operations()}


def test_the_schema_is_valid_and_complete():
    """drf-spectacular has nothing to say against it, and every view of the API is in it."""
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", urlconf=__name__, stdout=out)
    assert list(operations()) == OPERATIONS
    assert len([url for url in auth_urls if str(url.pattern).startswith("api/")]) == len(OPERATIONS)


def test_the_endpoints_of_apps_are_in_it_where_a_site_has_apps(settings):
    """And a view says that their token opens it."""
    settings.TOKENAUTH_APP_CLIENTS = True
    assert [label for label in operations() if label not in OPERATIONS] == OF_APPS
    views = [path("for-apps/", ForApps.as_view())]
    document = SchemaGenerator(patterns=views).get_schema(request=None, public=True)
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
@pytest.mark.parametrize("label", OF_APPS)
def test_the_endpoints_of_apps_keep_to_it(server, label, user, settings):
    """Whatever form is sent, good tokens among them: OAuth's answers, and never a 500."""
    settings.TOKENAUTH_APP_CLIENTS = True
    url = f"http://127.0.0.1:{server.port}"
    statuses = set()

    @PROFILE
    @given(case=operations()[label].as_strategy(GenerationMode.POSITIVE), rightly=st.booleans())
    def keeps_to_it(case, rightly):
        if rightly:
            session = SessionFactory(user=user, client=Client(APP, "Pocket"))
            token = session.refresh_token.reveal()
            case.body = {"grant_type": "refresh_token", "refresh_token": token, "token": token}
        response = case.call(base_url=url, headers={"X-Forwarded-Proto": "https"})
        case.validate_response(response, excluded_checks=[positive_data_acceptance])
        statuses.add(response.status_code)
        tally("requests to the API")

    keeps_to_it()
    assert {200, 400} <= statuses


def test_a_view_of_the_site_says_which_cookie_opens_it(settings):
    """Under the name that the cookie has on this site."""
    settings.TOKENAUTH_COOKIE_SECURE = False
    views = [path("ping/", Ping.as_view())]
    document = SchemaGenerator(patterns=views).get_schema(request=None, public=True)
    (scheme,) = document["components"]["securitySchemes"].items()
    assert document["paths"]["/ping/"]["get"]["security"] == [{scheme[0]: []}]
    assert (scheme[1]["in"], scheme[1]["name"]) == ("cookie", "access_token")


def test_a_site_without_drf_spectacular_needs_none():
    """The module is not imported there: the demo starts where there is no such package."""
    code = (
        "import sys; sys.modules['drf_spectacular'] = None; import django; django.setup();"
        "from django.core.management import call_command; call_command('check');"
        "assert 'tokenauth.urls' in sys.modules and 'tokenauth.schema' not in sys.modules"
    )
    run_python(code, {"DJANGO_SETTINGS_MODULE": "demo_project.settings"})


def headers_of(server, person):
    """Return the headers of a script on a page of the site, signed in or not."""
    jar = {"csrftoken": CSRF_TOKEN}
    if person is not None:
        session = SessionFactory(user=person)
        jar[cookies.access_name()] = tokens.issue_access_token(session)[0].reveal()
        jar[cookies.refresh_name()] = tokens.remake_refresh_token(session).reveal()
    return {
        "Cookie": "; ".join(f"{name}={value}" for name, value in jar.items()),
        "X-CSRFToken": CSRF_TOKEN,
        "X-Forwarded-Proto": "https",
        "Sec-Fetch-Site": "same-origin",
        "Origin": f"https://127.0.0.1:{server.port}",
    }


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
@pytest.mark.parametrize("known", [True, False], ids=["signed-in", "anonymous"])
@pytest.mark.parametrize(
    ("label", "mode"),
    # Nothing else takes a body, to be sent a wrong one.
    [*((label, GenerationMode.POSITIVE) for label in OPERATIONS), (LOGIN, GenerationMode.NEGATIVE)],
)
def test_the_api_keeps_to_its_schema(server, label, mode, known, user, settings):
    """Whatever is sent, the status, the type and the form of the answer are as it says."""
    settings.TOKENAUTH_LOGIN_RATES = None
    person, url = user if known else None, f"http://127.0.0.1:{server.port}"
    statuses = set()

    @PROFILE
    @given(case=operations()[label].as_strategy(mode), rightly=st.booleans())
    def keeps_to_it(case, rightly):
        if rightly and mode is GenerationMode.POSITIVE:  # what chance does not hit upon
            if label == LOGIN:
                case.body = {"username": user.get_username(), "password": PASSWORD}
            if label == DELETE:
                case.path_parameters["id"] = str(SessionFactory(user=user).pk)
        response = case.call(base_url=url, headers=headers_of(server, person))
        # A username of blanks is none, which a schema cannot say.
        case.validate_response(response, excluded_checks=[positive_data_acceptance])
        statuses.add(response.status_code)
        tally("requests to the API")

    keeps_to_it()
    is_open = label in {LOGIN, "POST /auth/api/logout/", "GET /auth/api/session/"}
    assert any(status < 300 for status in statuses) == (
        mode is GenerationMode.POSITIVE and (known or is_open)
    )
