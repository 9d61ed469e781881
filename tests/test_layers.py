"""The shape of the package: imports point one way, rooms stay small, each job has one place."""

import ast
from pathlib import Path
from statistics import median

import pytest

import tokenauth

#: Each module may import those that stand before it, and none behind it.
ORDER = [
    *("conf", "exceptions", "signals"),
    *("tokens", "cookies", "devices", "rotation", "users", "contention"),
    "sessions",
    "models",
    *("django_sessions", "origins", "bounce", "credentials", "settlement"),
    *("wording", "notices", "throttling"),
    *("answers", "forms", "middleware", "authentication"),
    "views",
    *("api", "staff", "listing", "activity", "chart", "user_admin", "admin"),
    *("schema", "checks", "urls", "apps"),
    *("tokenauth_clear", "tokenauth_revoke"),
]
PURE = {"conf", "exceptions", "signals", "tokens", "cookies", "devices", "rotation"}

FILES = sorted(
    path
    for path in Path(tokenauth.__file__).parent.rglob("*.py")
    if "migrations" not in path.parts and path.name != "__init__.py"
)
TREES = {path.stem: ast.parse(path.read_text()) for path in FILES}
each_module = pytest.mark.parametrize("module", TREES)


def imported_for_types(tree):
    """What stands under ``if TYPE_CHECKING``: no import at all when the code runs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            yield from node.body


def imports(module):
    """Every dotted name that a module imports, wherever in it; our own as ``tokenauth.<name>``."""
    for_types = set(map(id, imported_for_types(TREES[module])))
    for node in ast.walk(TREES[module]):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(filter(None, ["tokenauth" if node.level else "", node.module]))
            yield from (f"{package}.{name.name}" for name in node.names)


def neighbours(module):
    """Those of our modules that a module imports."""
    return {name.split(".")[1] for name in imports(module) if name.startswith("tokenauth.")}


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
    """A new module is put into the order before it is imported."""
    assert sorted(ORDER) == sorted(TREES)


@each_module
def test_imports_point_one_way(module):
    """No module knows of one that stands behind it."""
    assert neighbours(module) <= set(ORDER[: ORDER.index(module)])


def test_the_graph_that_was_read_is_the_real_one():
    """The reader above sees relative, absolute and late imports."""
    assert neighbours("conf") == neighbours("exceptions") == neighbours("signals") == set()
    assert {"conf", "rotation", "tokens", "users"} <= neighbours("sessions")
    assert {"checks", "credentials", "notices", "schema", "signals"} == neighbours("apps")
    assert {"conf", "contention", "models"} <= neighbours("tokenauth_clear")


@pytest.mark.parametrize("module", sorted(PURE))
def test_what_is_pure_knows_no_database(module):
    """Below the models nothing touches the ORM or a person."""
    forbidden = ("django.db", "django.contrib")
    assert [name for name in imports(module) if name.startswith(forbidden)] == []


def test_only_one_module_touches_simplejwt():
    """It is barely maintained: the day it goes, one file changes."""
    packages = {module: {name.split(".")[0] for name in imports(module)} for module in TREES}
    assert users_of({"rest_framework_simplejwt", "jwt"}, packages.get) == {"tokens"}


def test_token_cookies_are_set_in_one_place():
    """Views never set cookies: ``settlement`` decides, ``cookies`` writes."""
    assert users_of({"set_cookie", "delete_cookie"}, calls) == {"cookies"}
    assert users_of({"put", "put_access", "put_refresh"}, calls) == {"cookies", "settlement"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_module_is_two_rooms(path):
    """What passes 350 lines is split."""
    assert len(path.read_text().splitlines()) <= 350


def test_functions_are_short():
    """None fills a screen, and most are read at a glance."""
    lengths = dict(functions())
    assert {name: length for name, length in lengths.items() if length > 50} == {}
    assert median(lengths.values()) < 8
