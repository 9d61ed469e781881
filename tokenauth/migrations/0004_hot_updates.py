"""Let PostgreSQL rotate without a write to an index (HOT: heap-only tuples).

A table of millions stays in use meanwhile: it makes the indexes concurrently, and the rest takes
an instant. https://www.postgresql.org/docs/current/storage-hot.html
"""

from functools import partial
from typing import Any

from django.db import migrations, models

#: Per cent of a page that new rows fill. The rest is room for the next version of a row: only if
#: that stands on the same page is no index told of it.
FILLFACTOR = 85

BEFORE = [
    models.Index(fields=['user', 'last_seen_at'], name='tokenauth_user'),
    models.Index(fields=['ip_address', 'last_seen_at'], name='tokenauth_ip'),
    models.Index(fields=['revoke_reason', 'last_seen_at'], name='tokenauth_reason'),
]
AFTER = [
    models.Index(fields=['user', 'created_at'], name='tokenauth_person'),
    models.Index(fields=['ip_address', 'created_at'], name='tokenauth_address'),
    models.Index(fields=['revoke_reason', 'created_at'], name='tokenauth_status'),
]


def is_postgresql(schema_editor: Any) -> bool:
    """Tell whether there is something to do that other databases do not know."""
    return bool(schema_editor.connection.vendor == 'postgresql')


def replace(old: list[models.Index], new: list[models.Index], apps: Any, schema_editor: Any) -> None:
    """Make the new indexes, then drop the old: until then every query has one."""
    model = apps.get_model('tokenauth', 'AuthSession')
    # Not in a transaction, which somebody may have put around all migrations.
    gently = is_postgresql(schema_editor) and not schema_editor.connection.in_atomic_block
    for index in new:
        schema_editor.add_index(model, index, **({'concurrently': True} if gently else {}))
    for index in old:
        schema_editor.remove_index(model, index)


def leave_room(apps: Any, schema_editor: Any) -> None:
    """Leave room for updates, and drop the index for LIKE that comes with a unique text.

    Nobody asks for the beginning of a mark. What keeps the column unique is another index.
    """
    if is_postgresql(schema_editor):
        table = apps.get_model('tokenauth', 'AuthSession')._meta.db_table
        name = schema_editor._create_index_name(table, ['adopted_from'], suffix='_like')
        for statement in (
            f'ALTER TABLE {schema_editor.quote_name(table)} SET (fillfactor = {FILLFACTOR})',
            f'DROP INDEX IF EXISTS {schema_editor.quote_name(name)}',
        ):
            schema_editor.execute(statement)


def leave_no_room(apps: Any, schema_editor: Any) -> None:
    """Restore what Django makes."""
    if is_postgresql(schema_editor):
        model = apps.get_model('tokenauth', 'AuthSession')
        table = schema_editor.quote_name(model._meta.db_table)
        schema_editor.execute(f'ALTER TABLE {table} RESET (fillfactor)')
        mark = model._meta.get_field('adopted_from')
        schema_editor.execute(schema_editor._create_like_index_sql(model, mark))


class Migration(migrations.Migration):

    #: PostgreSQL makes no index concurrently in a transaction.
    atomic = False

    dependencies = [
        ('tokenauth', '0003_device_and_reuse'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunPython(
                    partial(replace, BEFORE, AFTER),
                    partial(replace, AFTER, BEFORE),
                    hints={'model_name': 'authsession'},
                )
            ],
            state_operations=[
                *[migrations.AddIndex('authsession', index) for index in AFTER],
                *[migrations.RemoveIndex('authsession', index.name) for index in BEFORE],
            ],
        ),
        migrations.AlterField(
            model_name='authsession',
            name='last_seen_at',
            field=models.DateTimeField(verbose_name='last seen'),
        ),
        migrations.AlterModelOptions(
            name='authsession',
            options={
                'default_permissions': ('view',),
                'ordering': ('-created_at',),
                'permissions': [('revoke_authsession', 'Can revoke session')],
                'verbose_name': 'session',
                'verbose_name_plural': 'sessions',
            },
        ),
        migrations.RunPython(leave_room, leave_no_room, hints={'model_name': 'authsession'}),
    ]
