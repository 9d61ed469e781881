"""The shape of the package: imports point one way, rooms stay small, each job has one place."""

import ast
from pathlib import Path
from statistics import median

import pytest

import tokenauth
from tokenauth import sessions, views
from tokenauth.models import AuthSession
from tokenauth.session.endings import RevokeReason
from tokenauth.shortcuts import sign_in

#: The floors: a room may import what stands on a floor below its own, and, on its own floor, what
#: stands before it in the same folder.
FLOORS = [
    ["conf exceptions lazy secret signals"],
    [
        "session.jwt: form jwk claims access_claims site_claims",
        "session.database: fields batches contention prepared",
    ],
    [
        "session.jose: keys self_signed",
        "session: rotation tokens users devices django_sessions endings lookups transitions",
    ],
    [
        "models",
        "dpop: addresses nonces answers reading proving",
        "device: challenges tokens proofs",
    ],
    ["session.revocations: stream telling rows publishing doors"],
    ["resource.keys: fetching verifying published"],
    ["request.jar: places presentation device"],
    ["request.header: bearer"],
    [
        "request.django_sessions: store keys adoption owner signals following",
        "request: cookies origins loops bounce credentials throttling settlement refresh",
    ],
    ["device: asking cookie demands endpoints binding"],
    ["clients: parameters answers proofs entries jobs issuers assertions grants"],
    ["sockets: connection handshake looking telling registry doors"],
    ["middleware authentication shortcuts channels"],
    ["stepup: recency challenges interrupted allauths"],
    ["permissions"],
    [
        "pages: forms links redirects wording notices reauthentication device_proof views",
        "api: answers views gateway tokens schema jwks device",
    ],
    ["mixins decorators"],
    [
        "admin: staff columns searching listing activity chart users sessions",
        "sessions views urls",
        "checks: settings names site policy deployment issuer device admin",
        "sockets: checks",
    ],
    [
        "apps testing pytest_plugin",
        "templatetags: tokenauth",
        "management.commands: tokenauth_clear tokenauth_key tokenauth_revoke",
    ],
    ["resource: revocations users credentials expiry middleware authentication checks apps"],
]
#: Nothing in here touches the ORM or a person.
PURE = {
    *("conf", "exceptions", "lazy", "signals"),
    *("request.jar.places", "request.jar.presentation", "request.cookies"),
    *("request.jar.device", "device.challenges", "device.tokens", "device.proofs"),
    *(
        "session.jose.self_signed",
        "session.tokens",
        "session.jose.keys",
        "session.devices",
        "session.rotation",
    ),
    *("session.jwt.form", "session.jwt.jwk", "session.jwt.claims", "session.jwt.access_claims"),
    *("session.revocations.stream", "resource.revocations", "sockets.connection"),
    *("stepup.recency", "dpop.addresses", "dpop.nonces", "dpop.reading"),
    *("clients.entries", "clients.jobs"),
}


def rooms(row):
    """The full names of the modules in a row, in order."""
    folder, _, names = row.rpartition(": ")
    return [".".join(filter(None, [folder, name])) for name in names.split()]


PLACES = {
    room: (floor, row, place)
    for floor, rows in enumerate(FLOORS)
    for row in rows
    for place, room in enumerate(rooms(row))
}


def may_import(room, other):
    """Whether the order allows it: a lower floor, further down in the folder, or a folder in it."""
    (floor, row, place), (other_floor, other_row, other_place) = PLACES[room], PLACES[other]
    folder, other_folder = row.partition(":")[0], other_row.partition(":")[0]
    same = row == other_row and other_place < place
    return other_floor < floor or same or other_folder.startswith(f"{folder}.")


ROOT = Path(tokenauth.__file__).parent
FILES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if "migrations" not in path.parts and path.name != "__init__.py"
)


def name_of(path):
    """A module's name below the package: ``session.tokens``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


TREES = {name_of(path): ast.parse(path.read_text()) for path in FILES}
each_module = pytest.mark.parametrize("module", TREES)


def imported_for_types(tree):
    """What stands under ``if TYPE_CHECKING``: no import at all when the code runs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            yield from node.body


def package_of(module, level):
    """The package that ``level`` dots mean in a module."""
    return ["tokenauth", *module.split(".")][:-level]


def imports(module):
    """Every dotted name that a module imports, wherever in it; relative ones in full."""
    for_types = set(map(id, imported_for_types(TREES[module])))
    for node in ast.walk(TREES[module]):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package_of(module, node.level) if node.level else []
            package = ".".join(filter(None, [*above, node.module]))
            yield from (f"{package}.{name.name}" for name in node.names)


def neighbours(module):
    """Those of our modules that a module imports."""
    ours = (name.removeprefix("tokenauth.") for name in imports(module) if "tokenauth." in name)
    return {room for name in ours for room in TREES if f"{name}.".startswith(f"{room}.")}


def calls(module):
    """The last name of everything that a module calls: ``put`` of ``cookies.put(…)``."""
    called = (node.func for node in ast.walk(TREES[module]) if isinstance(node, ast.Call))
    return {getattr(func, "attr", getattr(func, "id", None)) for func in called}


def functions():
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kinds):
                yield f"{module}.{node.name}", node.end_lineno - node.lineno + 1


def users_of(names, of):
    return {module for module in TREES if names & set(of(module))}


def test_every_module_has_its_place():
    """A new module is put on a floor before it is imported."""
    assert sorted(PLACES) == sorted(TREES)


@each_module
def test_imports_point_one_way(module):
    """No module knows of one that stands above it, or beside its folder."""
    assert [other for other in neighbours(module) if not may_import(module, other)] == []


def test_the_graph_that_was_read_is_the_real_one():
    """The reader above sees relative, absolute and late imports."""
    assert neighbours("conf") == neighbours("exceptions") == neighbours("signals") == set()
    assert {"conf", "signals", "session.rotation"} <= neighbours("session.transitions")
    assert {"checks.site", "signals", "api.schema", "pages.notices"} <= neighbours("apps")
    assert {"conf", "session.database.contention"} <= neighbours(
        "management.commands.tokenauth_clear"
    )


@pytest.mark.parametrize("room", [r for r in PLACES if "." in r])
def test_folders_keep_to_the_order_too(room):
    """Whoever imports a folder by its name alone would import what nobody ordered."""
    folders = {f"tokenauth.{row.partition(':')[0]}" for rows in FLOORS for row in rows}
    assert folders & set(imports(room)) == set()


@pytest.mark.parametrize("module", sorted(PURE))
def test_what_is_pure_knows_no_database(module):
    """Verifying, deciding and naming cookies touch neither the ORM nor a person."""
    forbidden = ("django.db", "django.contrib")
    assert [name for name in imports(module) if name.startswith(forbidden)] == []


def reach(module):
    """The modules that a module imports, and those that these import, to the end."""
    found, new = set(), {module}
    while new:
        found |= new
        new = {other for one in new for other in neighbours(one)} - found
    return found


@pytest.mark.parametrize("module", [module for module in TREES if module.startswith("resource.")])
def test_a_resource_server_needs_no_model(module):
    """It has no tables of ours, and perhaps no database."""
    assert "models" not in reach(module)


def test_only_one_module_touches_simplejwt():
    """It is barely maintained: the day it goes, one file changes."""
    packages = {module: {name.split(".")[0] for name in imports(module)} for module in TREES}
    assert users_of({"rest_framework_simplejwt", "jwt"}, packages.get) == {"session.tokens"}


def test_only_one_module_touches_joserfc():
    """What a key is, is read in one place; and a site without keys needs no library for them."""
    packages = {module: {name.split(".")[0] for name in imports(module)} for module in TREES}
    assert users_of({"joserfc", "cryptography"}, packages.get) == {"session.jose.keys"}


def test_token_cookies_are_set_in_one_place():
    """Views never set cookies: ``settlement`` decides, ``cookies`` writes; in tests ``testing``."""
    writers = {"request.cookies", "request.settlement", "device.cookie", "testing"}
    assert users_of({"set_cookie", "delete_cookie"}, calls) == {"request.cookies"}
    assert users_of({"put", "put_access", "put_refresh"}, calls) == writers


def test_what_the_docs_import_is_where_they_say():
    """Two faces, for sites: the rooms behind them may move."""
    assert sessions.RevokeReason is RevokeReason
    assert sessions.AuthSessionManager is type(AuthSession.objects)
    assert views.sign_in is sign_in


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_module_is_two_rooms(path):
    """What passes 350 lines is split."""
    assert len(path.read_text().splitlines()) <= 350


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES} - {ROOT}), ids=name_of)
def test_no_folder_is_two_houses(folder):
    """What passes eight rooms asks what it is for."""
    assert len([path for path in FILES if path.parent == folder]) <= 8


def test_functions_are_short():
    """None fills a screen, and most are read at a glance."""
    lengths = dict(functions())
    assert {name: length for name, length in lengths.items() if length > 50} == {}
    assert median(lengths.values()) < 8
