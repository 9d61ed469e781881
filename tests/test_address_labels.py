"""The page about address labels: its function, and where its words are read."""

import re

import pytest
from django.test import Client

from tests.factories import PASSWORD, StaffFactory
from tests.processes import ROOT

PAGE = (ROOT / "docs/how-to/address-labels.md").read_text(encoding="utf-8")
#: What a file of cities gives, of which it may know a part alone.
FILE = {
    "203.0.113.9": {
        "city": {"geoname_id": 1, "names": {"de": "Berlin", "en": "Berlin"}},
        "country": {"iso_code": "DE", "names": {"de": "Deutschland", "en": "Germany"}},
    },
    "2001:db8::9": {"country": {"names": {"en": "Peru"}}},
    "198.51.100.9": {"location": {"latitude": 1.5}},
    "192.0.2.9": {"city": {"names": {"ja": "Tokyo"}}},
}


def function_of_the_page():
    """The function as it stands there, over a file of our own."""
    names = {"__name__": "a_page"}
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(code, names)  # noqa: S102  # our own page
    names["reader"] = lambda: FILE
    return names["city"]


city = function_of_the_page()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("203.0.113.9", "Berlin, Germany"),
        ("2001:db8::9", "Peru"),
        ("198.51.100.9", None),
        ("192.0.2.9", None),
        ("10.0.0.1", None),
    ],
    ids=["known", "country-alone", "no-names", "no-english-name", "private"],
)
def test_the_function_of_the_page_names_what_the_file_knows(address, words):
    """In part or in whole; nothing for an address that it does not have."""
    assert city(address) == words


@pytest.mark.django_db
def test_a_label_is_shown_to_staff_to_the_owner_and_to_scripts(settings):
    """Behind the address, in the admin's list, on "Your devices" and in the API."""
    settings.TOKENAUTH_ADDRESS_LABEL = f"{__name__}.city"
    person = StaffFactory()
    browser = Client(REMOTE_ADDR="203.0.113.9")
    login = {"username": person.get_username(), "password": PASSWORD}
    assert browser.post("/auth/login/", login).status_code == 302
    for page in ("/admin/tokenauth/authsession/", "/auth/sessions/"):
        text = re.sub("<wbr>|&#8203;", "", browser.get(page).text)
        assert "203.0.113.9 (Berlin, Germany)" in text
    assert browser.get("/auth/api/session/").json()["session"]["address_label"] == (
        "Berlin, Germany"
    )
