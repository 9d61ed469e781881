"""Which device a request came from: headers are anybody's words."""

import pytest
from django.utils import translation

from tokenauth.session.devices import (
    MAX_PARSED_LENGTH,
    MAX_USER_AGENT_LENGTH,
    client_ip,
    describe,
    kind_of,
    label_of,
    translated,
    user_agent,
)

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)
MAC = SAFARI.replace(
    "iPhone; CPU iPhone OS 18_0 like Mac OS X", "Macintosh; Intel Mac OS X 10_15_7"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/150.0.0.0 Mobile Safari/537.36"
)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (FIREFOX, FIREFOX),
        ("", ""),
        ("\x00a\x00b\x00", "ab"),
        ("\x00" * 600 + "end", "end"),
        ("x" * 10_000, "x" * MAX_USER_AGENT_LENGTH),
    ],
    ids=["firefox", "empty", "nul", "nuls-first", "10-kB"],
)
def test_a_user_agent_is_cut_and_cleaned(given, kept):
    """What is stored fits the column, and PostgreSQL takes it."""
    assert user_agent({"HTTP_USER_AGENT": given}) == kept


def test_a_request_may_say_nothing():
    """Neither header has to be there."""
    assert user_agent({}) == ""
    assert client_ip({}, 0) is client_ip({}, 1) is None


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("fe80::7%eth0", "fe80::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", None),
        ("unix:", None),
        ("unknown", None),
        ("_hidden", None),
        ("999.0.2.7", None),
        ("192.0.2.7\x00", None),
        ("1" * 10_000, None),
    ],
)
def test_an_address_is_valid_or_none(given, address):
    """Brackets, port and zone go; what is no address is not stored as one."""
    assert client_ip({"REMOTE_ADDR": given}, 0) == address
    assert client_ip({"HTTP_X_FORWARDED_FOR": given}, 1) == address


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.1", "192.0.2.7"),
        (1, "203.0.113.1", "203.0.113.1"),
        (1, "6.6.6.6, 203.0.113.1", "203.0.113.1"),
        (2, "6.6.6.6, 203.0.113.1, 10.0.0.1", "203.0.113.1"),
        (2, "203.0.113.1", None),
        (1, "203.0.113.1, nonsense", None),
    ],
    ids=["no-proxy", "one", "one-spoofed", "two-spoofed", "shorter-than-promised", "nonsense"],
)
def test_only_an_entry_that_our_own_proxy_wrote_is_believed(proxies, forwarded, address):
    """Anybody can send X-Forwarded-For; each trusted proxy appends one address that it saw."""
    meta = {"REMOTE_ADDR": "192.0.2.7", "HTTP_X_FORWARDED_FOR": forwarded}
    assert client_ip(meta, proxies) == address


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (SAFARI, "Safari on iPhone"),
        (SAFARI.replace("iPhone; CPU iPhone", "iPad; CPU"), "Safari on iPad"),
        (SAFARI.replace("Version/", "CriOS/"), "Chrome on iPhone"),
        (SAFARI.replace("Version/", "FxiOS/"), "Firefox on iPhone"),
        (MAC, "Safari on macOS"),
        (ANDROID, "Chrome on Android"),
        (ANDROID.replace("Pixel 9", "Pixel 9; wv"), "Chrome on Android"),
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Linux"),
        ("", ""),
        ("<script>alert(1)</script>", ""),
        ("; Karbonn ; Build", ""),
    ],
    ids=[
        *("firefox", "iphone", "ipad", "chrome-ios", "firefox-ios", "mac", "android", "webview"),
        *("curl", "system-only", "empty", "nonsense", "ua-parser-fails"),
    ],
)
def test_a_device_is_told_in_words(agent, words):
    """People recognise "Firefox on Linux"; nothing is said rather than something wrong."""
    assert describe(agent) == words


@pytest.mark.parametrize("language", ["en", "de", "zh-hans"])
def test_what_is_stored_knows_no_language(language):
    """It is written by one person's request and read by others, staff among them."""
    with translation.override(language):
        assert describe(FIREFOX) == "Firefox on Linux"


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("Firefox on Linux", "Linux 上的 Firefox"),
        ("Made on Mars on Linux", "Linux 上的 Made on Mars"),
        ("curl", "curl"),
        ("", ""),
    ],
)
def test_a_stored_device_is_told_in_the_readers_language(device, words):
    """The system is what comes last: a browser may call itself anything."""
    with translation.override("zh-hans"):
        assert translated(device) == words


APPS = {
    "facebook": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/468.0.0.36.104;FBBV/604023221;"
    "FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.5.1;FBSS/3;FBCR/;FBID/phone;FBLC/de_DE;FBOP/80]",
    "instagram": "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) "
    "AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36 "
    "Instagram 336.0.0.35.90 Android (34/14; 450dpi; 1080x2115; samsung; SM-S918B; dm3q; qcom; "
    "de_DE; 610419757)",
}


@pytest.mark.parametrize(
    ("app", "words"),
    [("facebook", "Facebook on iPhone"), ("instagram", "Instagram on Android")],
)
def test_the_longest_that_real_clients_send_is_understood(app, words):
    """Browsers within apps send about 250 characters."""
    assert (describe(APPS[app]), kind_of(APPS[app])) == (words, "phone")


def test_what_stands_behind_the_first_characters_is_not_parsed():
    """The rules take quadratic time, and anybody may send a long header."""
    assert describe("x" * (MAX_PARSED_LENGTH - 10) + FIREFOX) == ""
    assert kind_of("x" * (MAX_PARSED_LENGTH - 10) + FIREFOX) == ""
    assert describe(FIREFOX + "x" * MAX_USER_AGENT_LENGTH) == "Firefox on Linux"


def label(address):
    """What a site might know of an address."""
    return {"192.0.2.7": "Berlin", "192.0.2.8": 8}.get(address)


def broken_label(address):
    """A file that is gone."""
    raise OSError(address)


@pytest.mark.parametrize(
    ("path", "address", "words"),
    [
        (None, "192.0.2.7", ""),
        (f"{__name__}.label", "192.0.2.7", "Berlin"),
        (f"{__name__}.label", "192.0.2.8", "8"),
        (f"{__name__}.label", "192.0.2.9", ""),
        (f"{__name__}.label", None, ""),
        (f"{__name__}.broken_label", "192.0.2.7", ""),
        ("nowhere.label", "192.0.2.7", ""),
    ],
    ids=["not-set", "known", "no-text", "unknown", "no-address", "fails", "missing"],
)
def test_an_address_is_told_as_the_site_knows_it(settings, caplog, path, address, words):
    """A function that fails costs the label and no page; the log says which."""
    settings.TOKENAUTH_ADDRESS_LABEL = path
    assert label_of(address) == words
    fails = path in (f"{__name__}.broken_label", "nowhere.label")
    assert [path in message for message in caplog.messages] == [True] * fails
