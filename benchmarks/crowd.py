"""Fill a table with the sessions of a site that has been there for nine months."""

from django.db import connection

from benchmarks import million  # noqa: F401  # sets Django up
from tokenauth.models import AuthSession

#: Sign-ins for each session that is left: the others ended long ago.
SIGN_INS = 2.01

#: Ten sessions for each person, and for a few of them thousands.
PEOPLE = """
INSERT INTO auth_user (username, password, first_name, last_name, email, is_superuser, is_staff,
                       is_active, date_joined)
SELECT (ARRAY['alice','bob','carol','dave','erin','frank','grace','heidi','ivan','judy'])
           [1 + n %% 10] || n, '!', '', '', '', FALSE, FALSE, TRUE, now()
FROM generate_series(1, %(people)s) AS n
"""

#: Sign-ins of nine months. A person uses a device for some weeks, coming back about once a day;
#: then a third of the sessions is ended, and the others expire. What ended more than ninety days
#: ago was removed by ``tokenauth_clear``. The oldest come first, as on a live site.
SESSIONS = """
INSERT INTO tokenauth_authsession (id, user_id, backend, auth_hash, token_hash, rotation,
    rotated_at, issued_at, confirmed, created_at, last_seen_at, expires_at, absolute_expires_at,
    persistent, ip_address, user_agent, device, device_kind, revoked_at, revoke_reason,
    reuse_user_agent)
SELECT gen_random_uuid(), %(first)s + floor(%(people)s * power(random(), 2))::int,
    'django.contrib.auth.backends.ModelBackend', md5(n::text), md5(n::text) || md5(n::text),
    extract(epoch FROM seen - begun)::int / 3600, seen, seen, TRUE, begun, seen, idle_end,
    absolute_end, TRUE, ('10.' || n %% 100 || '.' || n %% 241 || '.' || n %% 251)::inet,
    'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0',
    'Firefox on Linux', 'desktop', revoked, reason, ''
FROM (
    SELECT *, least(seen + interval '30 days', absolute_end) AS idle_end,
        CASE WHEN reason <> '' THEN least(now(), seen + random() * interval '1 hour') END AS revoked
    FROM (
        SELECT *, begun + interval '180 days' AS absolute_end,
            CASE WHEN used_until < now() THEN used_until
                ELSE greatest(begun, now() + ln(1 - random()) * interval '1 day') END AS seen,
            CASE
                WHEN used_until > now() OR random() < 0.65 THEN ''
                WHEN random() < 0.55 THEN 'logout'
                WHEN random() < 0.55 THEN 'replaced'
                WHEN random() < 0.55 THEN 'user'
                WHEN random() < 0.90 THEN 'admin'
                WHEN random() < 0.80 THEN 'limit'
                WHEN random() < 0.80 THEN 'reuse'
                ELSE 'mismatch' END AS reason
        FROM (
            SELECT *, begun - ln(1 - random()) * interval '25 days' AS used_until
            FROM (
                SELECT n, now() - interval '270 days' * (n::float / %(sign_ins)s) AS begun
                FROM generate_series(%(sign_ins)s, 1, -1) AS n
            ) AS sign_in
        ) AS stay
    ) AS visit
) AS session
WHERE coalesce(revoked, idle_end) > now() - interval '90 days'
"""

#: What a live site did since its last VACUUM: a twentieth of the living sessions rotated.
ROTATIONS = """
UPDATE tokenauth_authsession AS session
SET rotation = rotation + 1, last_seen_at = seen, rotated_at = seen, issued_at = seen,
    expires_at = least(seen + interval '30 days', absolute_expires_at)
FROM (
    SELECT id, now() - random() * interval '1 hour' AS seen FROM tokenauth_authsession
    WHERE revoked_at IS NULL AND expires_at > now() AND random() < 0.05
) AS visit
WHERE visit.id = session.id
"""


def fill(rows: int) -> None:
    """Make people and sessions. The indexes are made afterwards: that is ten times as fast."""
    people = max(1, rows // 10)
    indexes = secondary_indexes()
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'")
        for name in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute(PEOPLE, {"people": people})
        cursor.execute("SELECT min(id) FROM auth_user")
        [first] = cursor.fetchone()
        sign_ins = round(rows * SIGN_INS)
        cursor.execute(SESSIONS, {"people": people, "first": first, "sign_ins": sign_ins})
        for statement in indexes.values():
            cursor.execute(statement)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute(ROTATIONS)


def secondary_indexes() -> dict[str, str]:
    """Return the indexes that serve no constraint, each with the statement that makes it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s "
            "AND indexdef NOT LIKE 'CREATE UNIQUE%%'",
            [AuthSession._meta.db_table],
        )
        return dict(cursor.fetchall())
