"""A view that wants a proof now: Chromium proves its key before the request goes on."""

import pytest
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from tests import urls, views
from tests.device.test_chromium import link_to, other_site
from tests.test_chromium import on_one_server
from tokenauth.decorators import device_proof_required

BODY = "x" * 300_000

#: Sends BODY by fetch or in a form; a navigation has none.
FETCH = """async ([method, url, body]) => {
    const answer = await fetch(url, {method, body: method === "GET" ? undefined : body});
    return answer.text();
}"""
FORM = """([method, url, body]) => {
    const form = document.createElement("form");
    Object.assign(form, {method, action: url, enctype: "multipart/form-data"});
    form.append(Object.assign(document.createElement("textarea"), {name: "a", value: body}));
    form.append(Object.assign(document.createElement("button"), {type: "submit"}));
    document.body.replaceChildren(form);
}"""


@csrf_exempt
@device_proof_required
def fresh(request):
    """Say how long the body is."""
    return views.text(f"proven: {len(request.body)}")


urlpatterns = [path("fresh/", fresh), *urls.urlpatterns]


@on_one_server
@pytest.mark.urls(__name__)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_script_proves_the_key_before_its_second_hop(chromium, bound, upstream, method):
    """By the challenge that came with the redirect, in one refresh; the body arrives whole."""
    answer = bound.evaluate(FETCH, [method, "/fresh/", BODY])
    assert answer == f"proven: {0 if method == 'GET' else len(BODY)}"
    assert upstream.proofs == 1
    assert chromium.refreshes == ["Refreshed"]


@on_one_server
@pytest.mark.urls(__name__)
@pytest.mark.parametrize("is_form", [True, False], ids=["form", "page"])
def test_a_person_proves_the_key_before_the_second_hop(bound, upstream, is_form):
    """A form goes on with what was written, and a page comes as it would have."""
    if is_form:
        bound.evaluate(FORM, ["POST", "/fresh/", BODY])
        bound.submit()
    else:
        bound.goto("/fresh/")
    assert bound.text.startswith("proven: 300" if is_form else "proven: 0")
    assert upstream.proofs == 1


@on_one_server
@pytest.mark.urls(__name__)
def test_a_proof_holds_for_a_minute(bound, clock, upstream):
    """And then the next request brings another, by another challenge."""
    for proofs, seconds in ((1, 0), (1, 30), (2, 65)):
        clock.shift(seconds)
        bound.goto("/fresh/")
        assert (bound.text, upstream.proofs) == ("proven: 0", proofs)


@on_one_server
@pytest.mark.urls(__name__)
def test_a_link_of_another_site_leads_to_a_view_that_wants_a_proof(chromium, bound, upstream):
    """By a page of ours, for a redirect proves nothing on that way."""
    bound.goto(other_site(chromium))
    link_to(bound, f"{chromium.origin}/fresh/")
    bound.run(bound.page.wait_for_selector("text=proven"))
    assert upstream.proofs == 1
