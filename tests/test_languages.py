"""Languages: every string that people see is marked, and translated into each of ours.

Without gettext's own programs: a tiny reader of ``.po`` files, and Python's of ``.mo`` files.
"""
# ruff: noqa: RUF001  # the French apostrophe and the Chinese comma are what they look like

import ast
import gettext
import html
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import django as django_package
import pytest
import time_machine
from django.contrib.auth.forms import AuthenticationForm
from django.core.cache import cache
from django.http import HttpResponse
from django.template.base import Lexer, TokenType
from django.test import Client, RequestFactory, override_settings
from django.urls import path as route
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation.template import templatize

import tokenauth
from tests.factories import PASSWORD, SessionFactory
from tests.pages.test_devices_page import AGENTS
from tests.urls import urlpatterns as site_urls
from tokenauth.decorators import recent_login_required
from tokenauth.models import AuthSession
from tokenauth.pages import notices, wording
from tokenauth.pages.views import PER_PAGE
from tokenauth.session.endings import RevokeReason

PACKAGE = Path(tokenauth.__file__).parent
LANGUAGES = ["de", "fr", "es", "zh-hans"]
TEMPLATES = [path for suffix in ("html", "txt") for path in PACKAGE.rglob(f"*.{suffix}")]
MODULES = list(PACKAGE.rglob("*.py"))

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sd]|</?code>|SECURE_\w+|TOKENAUTH_\w+")
#: What gettext is called, and which of its arguments is what.
ARGUMENTS = {
    "gettext": ("id",),
    "ngettext": ("id", "plural"),
    "pgettext": ("context", "id"),
    "npgettext": ("context", "id", "plural"),
}
STRING = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
CALL = re.compile(rf"(?:n?p?gettext|_)\({STRING}(?:, {STRING})*(?:, ?count)?\)")


# The catalogues


def catalogue(language):
    """A catalogue's entries, and its header: flags, and each keyword with its text."""
    path = PACKAGE / "locale" / translation.to_locale(language) / "LC_MESSAGES" / "django.po"
    header, *entries = map(entry, path.read_text(encoding="utf-8").strip().split("\n\n"))
    return header, entries


def entry(block):
    """One entry of a catalogue."""
    fields, name = {"flags": "", "comments": ""}, ""
    for line in block.splitlines():
        keyword, _, text = line.partition(" ")
        if line.startswith("#"):
            fields["flags" if keyword == "#," else "comments"] += line
        else:
            if line.startswith('"'):
                text = line
            else:
                name = keyword
            fields[name] = fields.get(name, "") + ast.literal_eval(text)
    return fields


def translations_of(fields):
    """What an entry is translated to, with the English that each form stands for."""
    forms = [name for name in fields if name.startswith("msgstr")]
    last = fields.get("msgid_plural", fields["msgid"])
    return [(fields["msgid"] if name == "msgstr" else last, fields[name]) for name in forms]


def key_of(fields):
    """What gettext looks an entry up by."""
    return fields.get("msgctxt"), fields["msgid"], fields.get("msgid_plural")


def compiled(language):
    path = PACKAGE / "locale" / translation.to_locale(language) / "LC_MESSAGES" / "django.mo"
    with path.open("rb") as file:
        return gettext.GNUTranslations(file)


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


def test_nothing_is_left_untranslated(language):
    """Nor is anything a guess of msgmerge, or a leftover of a string that is gone."""
    header, entries = catalogue(language)
    left = [
        fields["msgid"]
        for fields in (header, *entries)
        if "fuzzy" in fields["flags"] or "#~" in fields["comments"] or not all_forms(fields)
    ]
    assert entries
    assert left == []


def all_forms(fields):
    return all(text.strip() for _, text in translations_of(fields))


def test_only_a_single_word_is_the_same_as_in_english(language):
    """A sentence that is the same was copied and forgotten."""
    pairs = [pair for fields in catalogue(language)[1] for pair in translations_of(fields)]
    assert [text for english, text in pairs if english == text and " " in text] == []


def test_placeholders_names_and_full_stops_are_kept(language):
    """What code or a reader relies on is in every form."""
    wrong = [
        text
        for fields in catalogue(language)[1]
        for english, text in translations_of(fields)
        if skeleton(english) != skeleton(text)
    ]
    assert wrong == []


def skeleton(text):
    return Counter(PLACEHOLDER.findall(text)), text.endswith((".", "。"))


def test_there_is_a_text_for_each_plural_form(language):
    """As many as the language has, whatever the number."""
    header, entries = catalogue(language)
    rule = re.search(r"nplurals=(\d); plural=(.+);", header["msgstr"])
    plural = gettext.c2py(rule[2])
    assert {plural(n) for n in range(102)} == set(range(int(rule[1])))
    for fields in entries:
        if "msgid_plural" in fields:
            assert len(translations_of(fields)) == int(rule[1])


def test_the_compiled_catalogue_is_up_to_date(language):
    """Else Django shows the old one: ``django-admin compilemessages``, in ``tokenauth``."""
    header, entries = catalogue(language)
    expected = {}
    for fields in entries:
        key = "\x04".join(filter(None, (fields.get("msgctxt"), fields["msgid"])))
        for n, (_, text) in enumerate(translations_of(fields)):
            expected[(key, n) if "msgid_plural" in fields else key] = text
    found = compiled(language)
    assert {key: text for key, text in found._catalog.items() if key} == expected
    assert found.info()["plural-forms"] in header["msgstr"]


def test_the_label_of_a_button_contains_what_is_written_on_it(language):
    """Who speaks to the computer says what they read (WCAG 2.5.3)."""
    with translation.override(language):
        label = translation.gettext("Sign out %(device)s")
        assert translation.gettext("Sign out").casefold() in label.casefold()


#: Words that Django has as well, and means the same by. Of the two translations a site sees the one
#: of the app that stands first in its INSTALLED_APPS.
DJANGOS = {
    *("IP address", "Time", "Action", "All", "now", "today", "user", "session", "sessions"),
    *("Are you sure?", "Yes, I’m sure", "No, take me back"),
}


def test_djangos_catalogues_mean_the_same_by_the_same_word(language):
    """Its "active" is a person's, whose gender is not a session's: ours has a context."""
    name = f"locale/{translation.to_locale(language)}/LC_MESSAGES/django.mo"
    django = Path(django_package.__file__).parent
    theirs = set()
    for path in [django / "conf" / name, *django.glob(f"contrib/*/{name}")]:
        with path.open("rb") as file:
            theirs |= set(gettext.GNUTranslations(file)._catalog)
    ours = {fields["msgid"] for fields in catalogue(language)[1] if "msgctxt" not in fields}
    assert {"active", "Sessions"} <= theirs
    assert (ours & theirs) - DJANGOS == set()


# The source


def calls(tree, names):
    """The strings that a module marks; ``names`` are its own for gettext's functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            plain = re.sub("_(lazy|noop)$", "", names.get(called, called))
            texts = [text.value for text in node.args if isinstance(text, ast.Constant)]
            # No text: it was marked elsewhere, with gettext_noop().
            if plain in ARGUMENTS and texts:
                said = dict(zip(ARGUMENTS[plain], texts, strict=False))
                yield said.get("context"), said["id"], said.get("plural")


def marked_in_module(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = [
        alias
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
    ]
    return calls(tree, {alias.asname or alias.name: alias.name for alias in imported})


def marked_in_template(path):
    source = templatize(path.read_text(encoding="utf-8"))
    for call in CALL.findall(source):
        yield from calls(ast.parse(call), {"_": "gettext"})


def test_the_catalogue_has_every_marked_string_and_no_other(language):
    """Whoever adds a string translates it, or asks somebody to: ``django-admin makemessages``."""
    marked = {key for path in MODULES for key in marked_in_module(path)}
    marked |= {key for path in TEMPLATES for key in marked_in_template(path)}
    known = {key_of(fields) for fields in catalogue(language)[1]}
    assert sorted(marked - known, key=str) == []
    assert sorted(known - marked, key=str) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_text_that_is_not_marked(path):
    """Neither between tags nor in an attribute that is read out or shown."""
    source = path.read_text(encoding="utf-8")
    tokens = Lexer(re.sub(r"{% block bodyclass %}.*?{% endblock %}", "", source)).tokenize()
    text, marked = "", False
    for token in tokens:
        words = token.contents.split()
        if token.token_type == TokenType.BLOCK and words[0].endswith("blocktranslate"):
            marked = words[0] == "blocktranslate"
        elif token.token_type == TokenType.TEXT and not marked:
            text += token.contents
    assert [chunk for chunk in shown(text) if re.search("[A-Za-z]", chunk)] == []


# What people see


def shown(page):
    """Each piece of text of a page, also those that are read out or shown on pointing."""
    page = re.sub(r"<!--.*?-->|<!DOCTYPE[^>]*>", "", page, flags=re.DOTALL | re.IGNORECASE)
    page = re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    attributes = re.findall(r'\b(?:aria-label|title|placeholder|alt)="([^"]*)"', page)
    buttons = re.findall(r'<input type="submit" value="([^"]*)"', page)
    pieces = [*re.split(r"<[^>]*>", page), *attributes, *buttons]
    return {" ".join(html.unescape(piece).split()) for piece in pieces} - {""}


def english_left(pieces, language):
    """Which of the pieces are ours, and not translated."""
    pairs = [pair for fields in catalogue(language)[1] for pair in translations_of(fields)]
    translated = {text for _, text in pairs}
    english = {text for text, other in pairs if text != other} - translated
    patterns = [re.sub(r"%(?:\\\(\w+\\\))?[sd]", ".+", re.escape(text)) for text in english]
    ours = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    return sorted(piece for piece in pieces if ours.fullmatch(piece))


@pytest.fixture(autouse=True)
def restored():
    """LocaleMiddleware leaves the last request's language behind."""
    with translation.override(translation.get_language()):
        yield


@pytest.fixture
def site(settings, db):
    """A site that speaks the reader's language and soon refuses who guesses passwords."""
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:2],
        "django.middleware.locale.LocaleMiddleware",
        *settings.MIDDLEWARE[2:],
    ]
    settings.TOKENAUTH_LOGIN_RATES = {"account": "1/10m"}
    cache.clear()
    with time_machine.travel(NOON, tick=False):
        yield
    cache.clear()


@pytest.fixture
def reader(site, language):
    """A browser that asks for pages in a language."""
    agent = AGENTS["Firefox on Linux"]
    return Client(headers={"accept-language": language, "user-agent": agent})


def sign_in(reader, user, password=PASSWORD, name="login"):
    data = {"username": user.get_username(), "password": password, "remember": "on"}
    return reader.post(reverse(f"tokenauth:{name}"), data, secure=True)


def login_page(reader, user):
    return reader.get(reverse("tokenauth:login"), secure=True)


def login_page_over_http(reader, user):
    return reader.get(reverse("tokenauth:login"))


def login_page_after_a_mistake(reader, user):
    return sign_in(reader, user, "wrong")


def login_page_after_too_many_mistakes(reader, user):
    sign_in(reader, user, "wrong")
    return sign_in(reader, user, "wrong")


def login_page_after_staff_revoked(reader, user):
    sign_in(reader, user)
    AuthSession.objects.revoke(RevokeReason.ADMIN)
    return login_page(reader, user)


def devices_page(reader, user):
    sign_in(reader, user)
    make_sessions(user)
    return reader.get(reverse("tokenauth:session_list"), secure=True)


def devices_page_after_signing_out_elsewhere(reader, user):
    sign_in(reader, user)
    make_sessions(user)
    answer = reader.post(reverse("tokenauth:session_revoke_others"), secure=True)
    return reader.get(answer.url, secure=True)


def devices_page_of_many(reader, user):
    sign_in(reader, user)
    SessionFactory.create_batch(2 * PER_PAGE, user=user)
    return reader.get(reverse("tokenauth:session_list"), {"page": 2}, secure=True)


def make_sessions(user):
    """One on each kind of device, one that expired, one that ended for each reason."""
    for agent in AGENTS.values():
        request = RequestFactory().get("/", HTTP_USER_AGENT=agent)
        SessionFactory(user=user, request=request)
    before = timezone.now() - timedelta(days=3)
    for columns in (
        {"expires_at": before},
        *({"revoked_at": before, "revoke_reason": reason} for reason in RevokeReason),
    ):
        session = SessionFactory(user=user)
        AuthSession.objects.filter(pk=session.pk).update(last_seen_at=before, **columns)


def admin_page(name, *, own=False, **query):
    """A page of the admin, for one's own session or one's own account."""

    def visit(reader, user):
        user.is_staff = user.is_superuser = True
        user.save()
        sign_in(reader, user)
        make_sessions(user)
        pk = AuthSession.objects.active().order_by("created_at").first().pk if own else user.pk
        args = [] if name.endswith("changelist") else [pk]
        return reader.get(reverse(f"admin:{name}", args=args), query, secure=True)

    return visit


def evidence_in_the_admin(reader, user):
    admin_page("tokenauth_authsession_changelist")(reader, user)
    stolen = AuthSession.objects.get(revoke_reason=RevokeReason.REUSE)
    url = reverse("admin:tokenauth_authsession_change", args=[stolen.pk])
    return reader.get(url, secure=True)


def warning_in_the_admin(reader, user):
    admin_page("tokenauth_authsession_changelist")(reader, user)
    chosen = AuthSession.objects.active().values_list("pk", flat=True)
    data = {"action": "revoke", "_selected_action": list(chosen)}
    return reader.post(reverse("admin:tokenauth_authsession_changelist"), data, secure=True)


def was_it_you(reader, user):
    sign_in(reader, user)
    make_sessions(user)
    other = AuthSession.objects.active().order_by("created_at").last()
    return reader.get(reverse("tokenauth:session_revoke", args=[other.pk]), secure=True)


def login_page_while_signed_in(reader, user):
    sign_in(reader, user)
    return login_page(reader, user)


def reauthentication_page(reader, user, note=None, wait=timedelta(0)):
    """After a mistake; with a note, of a form that waits, then what becomes of it."""
    urls = [route("recent/", recent_login_required(page_of_a_site))]
    with override_settings(ROOT_URLCONF=type("Site", (), {"urlpatterns": urls + site_urls})):
        sign_in(reader, user)
        AuthSession.objects.update(authenticated_at=None)
        cache.clear()
        if note is None:
            data = {"password": "wrong"}
            return reader.post(reverse("tokenauth:reauthenticate"), data, secure=True)
        asked = reader.post("/recent/", {"note": note, "pin": "1234"}, secure=True)
        waiting = re.search(r'name="interrupted" value="([^"]+)"', asked.text)
        if waiting is None:
            return asked
        with time_machine.travel(NOON + wait, tick=False):
            data = {"password": PASSWORD, "interrupted": html.unescape(waiting[1])}
            return reader.post(reverse("tokenauth:reauthenticate"), data, secure=True)


def reauthentication_page_without_password(reader, user):
    sign_in(reader, user)
    user.set_unusable_password()
    user.save()
    AuthSession.objects.update(auth_hash=user.get_session_auth_hash())
    return reader.get(reverse("tokenauth:reauthenticate"), secure=True)


def page_of_a_site(request):
    return HttpResponse()


ALL_OF_ALICE_IN_FRENCH = " ".join(
    [
        "Toutes les sessions de l’utilisateur alice prendront fin immédiatement,",
        "sur tous les appareils.",
    ]
)
TOO_MUCH = (
    " ".join(
        [
            "Was Sie gerade abgeschickt haben, wurde nicht aufbewahrt.",
            "Schicken Sie es danach noch einmal ab.",
        ]
    ),
    "Ce que vous venez d’envoyer n’a pas été conservé. Envoyez-le de nouveau ensuite.",
    "Lo que acaba de enviar no se ha conservado. Envíelo de nuevo después.",
    "你刚才提交的内容没有保留。请在确认后重新提交。",
)
#: Each page, and a piece of it in each language.
PAGES = {
    "login-page": (
        login_page,
        "Angemeldet bleiben",
        "Rester connecté",
        "Mantener la sesión iniciada",
        "保持登录状态",
    ),
    "login-page-over-http": (
        login_page_over_http,
        "Über http kann sich hier niemand anmelden.",
        "Personne ne peut se connecter ici en http.",
        "Nadie puede iniciar sesión aquí a través de http.",
        "无法通过 http 在此登录。",
    ),
    "login-page-after-a-mistake": (
        login_page_after_a_mistake,
        "Das hat nicht funktioniert.",
        "Cela n’a pas fonctionné.",
        "No ha funcionado.",
        "操作未成功。",
    ),
    "login-page-after-too-many-mistakes": (
        login_page_after_too_many_mistakes,
        "Zu viele Anmeldungen sind fehlgeschlagen. Bitte versuchen Sie es in 10 Minuten erneut.",
        "Trop de tentatives de connexion ont échoué. Réessayez dans 10 minutes.",
        "Demasiados intentos de inicio de sesión han fallado. Vuelva a intentarlo en 10 minutos.",
        "登录失败次数过多。请在 10 分钟后重试。",
    ),
    "login-page-after-staff-revoked": (
        login_page_after_staff_revoked,
        "Sie wurden abgemeldet, weil Mitarbeiter dieser Website Ihre Sitzung beendet haben.",
        "Vous avez été déconnecté parce que l’équipe de ce site a mis fin à votre session.",
        "Se cerró su sesión porque el personal de este sitio la finalizó.",
        "由于本站工作人员结束了你的会话，你已退出登录。",
    ),
    "login-page-while-signed-in": (
        login_page_while_signed_in,
        "Mit einem anderen Konto anmelden",
        "Se connecter avec un autre compte",
        "Iniciar sesión con otra cuenta",
        "登录其他账户",
    ),
    "reauthentication": (
        reauthentication_page,
        "Bestätigen Sie, dass Sie es sind",
        "Confirmez votre identité",
        "Confirme que es usted",
        "确认是你本人",
    ),
    "reauthentication-without-password": (
        reauthentication_page_without_password,
        "Abmelden und neu anmelden",
        "Se déconnecter et se reconnecter",
        "Cerrar sesión y volver a iniciarla",
        "退出并重新登录",
    ),
    "reauthentication-with-too-much": (
        partial(reauthentication_page, note="x" * 70_000),
        *TOO_MUCH,
    ),
    "what-waited": (
        partial(reauthentication_page, note="x"),
        "Jetzt absenden",
        "Envoyer maintenant",
        "Enviar ahora",
        "立即提交",
    ),
    "what-waited-too-long": (
        partial(reauthentication_page, note="x", wait=timedelta(minutes=11)),
        "Noch einmal absenden",
        "Envoyer de nouveau",
        "Enviar de nuevo",
        "重新提交",
    ),
    "was-it-you": (
        was_it_you,
        "Waren Sie das?",
        "Était-ce bien vous ?",
        "¿Ha sido usted?",
        "是你本人登录的吗？",
    ),
    "devices-page": (devices_page, "Ihre Geräte", "Vos appareils", "Sus dispositivos", "你的设备"),
    "devices-page-after-signing-out-elsewhere": (
        devices_page_after_signing_out_elsewhere,
        "Von 5 Geräten abgemeldet.",
        "5 appareils déconnectés.",
        "Se ha cerrado la sesión en 5 dispositivos.",
        "已在 5 台设备上退出登录。",
    ),
    "devices-page-of-many": (
        devices_page_of_many,
        "Seite 2 von 3",
        "Page 2 sur 3",
        "Página 2 de 3",
        "第 2 页，共 3 页",
    ),
    "admin-list": (
        admin_page("tokenauth_authsession_changelist"),
        "Diebstahlwarnungen",
        "Alertes de vol",
        "Alertas de robo",
        "盗用警报",
    ),
    "admin-list-of-all": (
        admin_page("tokenauth_authsession_changelist", status="all"),
        "Diebstahl: an zwei Orten verwendet",
        "vol : utilisée depuis deux endroits",
        "robo: usada desde dos lugares",
        "盗用：令牌在两处被使用",
    ),
    "admin-search": (
        admin_page("tokenauth_authsession_changelist", q="nobody"),
        "unter allen suchen",
        "chercher parmi toutes les sessions",
        "buscar entre todas",
        "在全部会话中查找",
    ),
    "admin-session": (
        admin_page("tokenauth_authsession_change", own=True),
        "Widerrufen",
        "Révoquer",
        "Revocar",
        "撤销",
    ),
    "admin-session-of-a-theft": (
        evidence_in_the_admin,
        "Wer das Token vorgelegt hat, das sie beendet hat",
        "Qui a présenté le jeton qui y a mis fin",
        "Quién presentó el token que la finalizó",
        "出示令牌使会话结束的一方",
    ),
    "admin-user": (
        admin_page("auth_user_change"),
        "Alle Sitzungen dieses Benutzers",
        "Toutes les sessions de cet utilisateur",
        "Todas las sesiones de este usuario",
        "该用户的所有会话",
    ),
    "admin-sign-out": (
        admin_page("auth_user_sign_out"),
        "Alle Sitzungen von alice enden sofort, auf jedem Gerät.",
        ALL_OF_ALICE_IN_FRENCH,
        "Todas las sesiones de alice finalizarán de inmediato, en todos los dispositivos.",
        "alice 在所有设备上的全部会话将立即结束。",
    ),
    "warning-in-the-admin": (
        warning_in_the_admin,
        "6 aktive Sitzungen enden sofort. Die Sitzung, mit der Sie angemeldet sind, ist darunter.",
        "6 sessions actives prendront fin immédiatement. Votre session actuelle en fait partie.",
        "6 sesiones activas finalizarán de inmediato. Entre ellas está su sesión actual.",
        "6 个有效会话将立即结束。 其中包括你当前登录所用的会话。",
    ),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_in_the_readers_language(page, reader, user, language):
    """All of it that is ours."""
    visit, *known = PAGES[page]
    response = visit(reader, user)
    pieces = shown(response.text)
    assert response.headers["Content-Language"] == language
    assert known[LANGUAGES.index(language)] in pieces
    assert english_left(pieces, language) == []


def test_english_that_is_left_is_found(site, user):
    """Or the test above would say nothing."""
    response = devices_page(Client(headers={"accept-language": "en"}), user)
    left = english_left(shown(response.text), "de")
    assert {"Your devices", "Sign out Edge on Windows", "Unknown device", "It expired."} <= {*left}


@pytest.mark.parametrize("name", notices.SUBJECTS)
def test_an_e_mail_is_in_its_owners_language(name, site, user, language):
    """Subject, plain text and HTML."""
    session = SessionFactory(user=user)
    place = {"site_name": "Site", "origin": "https://app.site.test"}
    with translation.override(language):
        message = notices.compose(name, session, place, "alice@site.test")
    ((page, _),) = message.alternatives
    lines = {part for line in message.body.splitlines() for part in (line, *line.split(": "))}
    pieces = shown(page) | lines | {message.subject.removeprefix("Site: ")}
    expected = compiled(language).gettext(notices.SUBJECTS[name])
    assert message.subject == f"Site: {expected}"
    assert expected in lines
    assert english_left(pieces, language) == []


def wrong_password(language):
    """What Django's own login form says."""
    with translation.override(language):
        return AuthenticationForm().get_invalid_login_error().messages[0]


@pytest.mark.parametrize("language", [*LANGUAGES, "en"])
def test_an_error_of_the_api_is_in_the_readers_language(reader, user, language):
    """The code is not: it is for programs."""
    answer = sign_in(reader, user, "wrong", "api_login")
    assert answer.json() == {
        "detail": wrong_password(language),
        "code": "authentication_failed",
    }
    refused = sign_in(reader, user, "wrong", "api_login").json()
    too_many = "Too many sign-ins have failed."
    known = too_many if language == "en" else compiled(language).gettext(too_many)
    assert refused["detail"].startswith(known)
    assert refused["code"] == "throttled"


@pytest.mark.parametrize("language", [*LANGUAGES, "en"])
def test_an_error_of_the_refresh_url_is_in_the_readers_language(reader, language):
    """It is no view of REST framework's."""
    answer = reader.post(reverse("tokenauth:refresh"), secure=True).json()
    english = "Nobody is signed in here."
    expected = english if language == "en" else compiled(language).gettext(english)
    assert answer["detail"] == expected


@pytest.mark.parametrize(
    ("language", "one", "several"),
    [
        ("de", "vor 1 Tag", "vor 3 Tagen"),
        ("fr", "il y a 1\xa0jour", "il y a 3\xa0jours"),
        ("es", "hace 1\xa0día", "hace 3\xa0días"),
        ("zh-hans", "1 天前", "3 天前"),
    ],
)
def test_how_long_ago_something_was_is_grammatical(language, one, several):
    """In the case that each language asks for."""
    now = timezone.now()
    with translation.override(language):
        said = [wording.ago(now - timedelta(days=days, minutes=1)) for days in (1, 3)]
    assert said == [one, several]
