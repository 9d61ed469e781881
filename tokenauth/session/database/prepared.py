"""Find, store and change sessions by statements that the ORM has compiled once.

Compiling is most of what such a statement costs, and these run with ordinary requests and
sign-ins. Their SQL is the ORM's own, and kept for each database until a setting changes: not for
each connection, for under ASGI every request has one of its own. tests/session/test_prepared.py
runs both ways and compares.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.signals import setting_changed
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save, pre_save
from django.db.models.sql import InsertQuery, UpdateQuery
from django.db.transaction import mark_for_rollback_on_error
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

T = TypeVar("T")

#: What was compiled, by the database's alias and kind, and by what it is.
_kept: dict[Any, Any] = {}


def forget(**kwargs: Any) -> None:
    """Compile anew: a test has changed a setting, USE_TZ perhaps."""
    _kept.clear()


setting_changed.connect(forget)


def compiled(connection: BaseDatabaseWrapper, key: Any, compile_: Callable[[], T]) -> T:
    """Return what is kept for a database; else compile it, and keep it."""
    place = (connection.alias, type(connection), key)
    if place not in _kept:
        _kept[place] = compile_()
    found: T = _kept[place]
    return found


def field_of(model: type[models.Model], name: str) -> Any:
    """Return the field that a condition is about."""
    column = name.partition("__")[0]
    return model._meta.pk if column == "pk" else model._meta.get_field(column)


def stand_in(field: Any, n: int) -> Any:
    """Return what stands for a value while a statement is compiled: like no other in it."""
    if isinstance(field, models.UUIDField):
        return UUID(int=2**100 + n)
    if isinstance(field, models.DateTimeField):
        moment = datetime(1990, 1, 1, tzinfo=UTC) + timedelta(seconds=n)
        return moment if settings.USE_TZ else timezone.make_naive(moment, UTC)
    if isinstance(field, models.IntegerField):
        return 1_000_000_007 + n
    return f"192.0.2.{n}" if isinstance(field, models.GenericIPAddressField) else f"tokenauth {n}"


@dataclass(frozen=True)
class LookUp:
    """A session with its user, by its primary key; and how the columns become the two."""

    model: type[models.Model]
    user_model: type[models.Model]
    sql: str
    params: dict[str, Any]
    converters: list[tuple[int, list[Any], Any]]
    names: Sequence[str]
    #: What the columns that are not read are taken to have: these are the model's last.
    unread: list[Any]
    people: Sequence[str]
    annotations: Sequence[str]
    #: Which parameters are the primary key that is looked for, and the field that prepares it.
    slots: Sequence[str]
    pk: Any

    def run(self, connection: BaseDatabaseWrapper, sid: UUID) -> Any:
        """Return the session, or None."""
        wanted = dict.fromkeys(self.slots, self.pk.get_db_prep_value(sid, connection))
        with connection.cursor() as cursor:
            cursor.execute(self.sql, self.params | wanted)
            row = cursor.fetchone()
        return None if row is None else self.build(connection, list(row))

    def build(self, connection: BaseDatabaseWrapper, values: list[Any]) -> Any:
        """Make the session and its user out of a row."""
        for index, converters, expression in self.converters:
            for convert in converters:
                values[index] = convert(values[index], expression, connection)
        alias, size = connection.alias, len(self.names) - len(self.unread)
        end = size + len(self.people)
        # Django takes half as long for an instance that has all of its fields.
        session: Any = self.model.from_db(alias, self.names, values[:size] + self.unread)
        session.set_user(self.user_model.from_db(alias, self.people, values[size:end]))
        for name, value in zip(self.annotations, values[end:], strict=True):
            setattr(session, name, value)
        return session


def look_up(rows: Callable[[], models.QuerySet[Any]], alias: str, kind: Any, sid: UUID) -> Any:
    """Return the session that ``rows()`` has under this id, with its user; None if there is none.

    ``kind`` tells what ``rows()`` returns from what it may return at other times.
    """
    connection = connections[alias]
    statement = compiled(connection, kind, lambda: compile_look_up(rows(), connection))
    return statement.run(connection, sid)


def compile_look_up(rows: models.QuerySet[Any], connection: BaseDatabaseWrapper) -> LookUp:
    """Let the ORM write the look-up."""
    user_model = get_user_model()
    fields = rows.model._meta.concrete_fields
    unread = [f for f in fields if f.name in rows.query.deferred_loading[0]]
    names = [field.attname for field in fields]
    people = [field.attname for field in user_model._meta.concrete_fields]
    annotations = list(rows.query.annotations)
    read = names[: len(names) - len(unread)]
    pk: Any = rows.model._meta.pk
    sid = stand_in(pk, 0)
    of_people = [f"user__{name}" for name in people]
    flat = rows.order_by().filter(pk=sid).values_list(*read, *of_people, *annotations)
    compiler = flat.query.get_compiler(connection=connection)
    sql, values = compiler.as_sql()
    found = compiler.get_converters([column for column, _, _ in compiler.select])
    converters = [(index, *how) for index, how in found.items()]
    # By name: on SQLite, Django looks for each ``%s`` anew whenever the statement runs.
    params = {f"p{place}": value for place, value in enumerate(values)}
    sql = sql.replace("%%", "%%%%") % tuple(f"%({name})s" for name in params)
    stood_in = pk.get_db_prep_value(sid, connection)
    slots = [name for name, value in params.items() if value == stood_in]
    rest = [field.get_default() for field in unread]
    return LookUp(
        *(rows.model, user_model, sql, params, converters, names, rest, people, annotations),
        *(slots, pk),
    )


@dataclass(frozen=True)
class Swap:
    """An UPDATE whose row count is an answer, and which of its parameters are to come."""

    sql: str
    params: Sequence[Any]
    #: By the parameter's place: the value's name, and the field that prepares it.
    slots: dict[int, tuple[str, Any]]

    @sensitive_variables()
    def run(self, connection: BaseDatabaseWrapper, values: dict[str, Any]) -> int:
        """Return how many rows were changed."""
        params = list(self.params)
        for place, (name, field) in self.slots.items():
            params[place] = field.get_db_prep_save(values[name], connection)
        with mark_for_rollback_on_error(connection.alias), connection.cursor() as cursor:
            cursor.execute(self.sql, params)
            count: int = cursor.rowcount
        return count


def is_fixed(value: Any) -> bool:
    """Tell whether a value is part of the statement: NULL is no parameter, nor IS NULL's truth."""
    return value is None or isinstance(value, bool)


@sensitive_variables()
def swap(
    rows: Callable[[], models.QuerySet[Any]],
    alias: str,
    where: dict[str, Any],
    changes: dict[str, Any],
) -> int:
    """Update those of ``rows()`` of which all of ``where`` is true; return how many were."""
    connection, values = connections[alias], changes | {f"? {n}": v for n, v in where.items()}
    shape = tuple((name, value if is_fixed(value) else "") for name, value in values.items())
    statement = compiled(
        connection, shape, lambda: compile_swap(rows(), where, changes, connection)
    )
    if statement is None:
        return rows().filter(**where).update(**changes)
    return statement.run(connection, values)


def compile_swap(
    rows: models.QuerySet[Any],
    where: dict[str, Any],
    changes: dict[str, Any],
    connection: BaseDatabaseWrapper,
) -> Swap | None:
    """Let the ORM write the update; None if its parameters can't be told from each other."""
    fields = {name: field_of(rows.model, name) for name in changes}
    fields |= {f"? {name}": field_of(rows.model, name) for name in where}
    given = changes | {f"? {name}": value for name, value in where.items()}
    to_come = {name for name, value in given.items() if not is_fixed(value)}
    values = given | {
        name: stand_in(fields[name], place) for place, name in enumerate(sorted(to_come))
    }
    query: Any = rows.filter(**{name: values[f"? {name}"] for name in where}).query.chain(
        UpdateQuery
    )
    query.add_update_values({name: values[name] for name in changes})
    sql, params = query.get_compiler(connection=connection).as_sql()
    known = {name: fields[name].get_db_prep_save(values[name], connection) for name in to_come}
    slots = {
        place: (name, fields[name])
        for place, param in enumerate(params)
        for name, prepared in known.items()
        if type(param) is type(prepared) and param == prepared
    }
    found = sorted(name for name, _ in slots.values())
    return Swap(sql, params, slots) if found == sorted(to_come) else None


@dataclass(frozen=True)
class Column:
    """A SELECT of one column, all of whose parameters are to come."""

    sql: str
    #: The name of each value, and the field that prepares it.
    slots: Sequence[tuple[str, Any]]
    converters: Sequence[Callable[..., Any]]
    expression: Any

    def run(self, connection: BaseDatabaseWrapper, given: dict[str, Any]) -> list[Any]:
        """Return what the column has in each row."""
        params = [field.get_db_prep_value(given[name], connection) for name, field in self.slots]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, params)
            values = [value for (value,) in cursor.fetchall()]
        for convert in self.converters:
            values = [convert(value, self.expression, connection) for value in values]
        return values


def column(
    rows: Callable[[dict[str, Any]], models.QuerySet[Any]],
    alias: str,
    kind: Any,
    given: dict[str, Any],
) -> list[Any]:
    """Return the one column of ``rows(given)``, whose parameters are all values of ``given``.

    Those go by the name of a field that prepares them. ``kind``: see look_up().
    """
    connection, key = connections[alias], (column, get_user_model(), kind)
    statement = compiled(connection, key, lambda: compile_column(rows, given, connection))
    return list(rows(given)) if statement is None else statement.run(connection, given)


def compile_column(
    rows: Callable[[dict[str, Any]], models.QuerySet[Any]],
    given: dict[str, Any],
    connection: BaseDatabaseWrapper,
) -> Column | None:
    """Let the ORM write the SELECT; None if its parameters can't be told from each other."""
    model = rows(given).model
    fields = {name: field_of(model, name) for name in given}
    fields = {name: getattr(field, "target_field", field) for name, field in fields.items()}
    values = {name: stand_in(fields[name], place) for place, name in enumerate(given)}
    compiler: Any = rows(values).query.get_compiler(connection=connection)
    sql, params = compiler.as_sql()
    known = {fields[name].get_db_prep_value(values[name], connection): name for name in given}
    names = [known[param] for param in params if param in known]
    if len(names) != len(params) or len(known) != len(given):
        return None
    [(expression, _, _)] = compiler.select
    converters = [how for how, _ in compiler.get_converters([expression]).values()]
    slots = [(name, fields[name]) for name in names]
    return Column(sql, slots, [one for how in converters for one in how], expression)


@sensitive_variables()
def insert(instance: models.Model, alias: str) -> None:
    """Store a new row, as its ``save()`` does; by that where somebody listens to it."""
    model, connection = type(instance), connections[alias]
    if pre_save.has_listeners(model) or post_save.has_listeners(model):
        instance.save(using=alias)
        return
    fields: Any = model._meta.local_concrete_fields
    sql = compiled(connection, (insert, model), lambda: compile_insert(instance, connection))
    params = [
        field.get_db_prep_save(field.pre_save(instance, add=True), connection) for field in fields
    ]
    with mark_for_rollback_on_error(alias), connection.cursor() as cursor:
        cursor.execute(sql, params)
    instance._state.adding, instance._state.db = False, alias


@sensitive_variables()
def compile_insert(instance: models.Model, connection: BaseDatabaseWrapper) -> str:
    """Let the ORM write the INSERT."""
    query = InsertQuery(type(instance))
    query.insert_values(instance._meta.local_concrete_fields, [instance])
    [(sql, _)] = query.get_compiler(connection=connection).as_sql()
    return str(sql)
