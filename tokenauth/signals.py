"""What happens to sessions, for receivers. All are sent with ``send_robust``.

All but ``sessions_ended`` carry ``session`` (an ``AuthSession``) and ``request`` (``None`` outside
one): a receiver that fails is logged by Django and undoes nothing.
"""

from django.dispatch import Signal

#: A person signed in, or a Django session was adopted.
session_started = Signal()
#: The refresh token was replaced by its successor.
session_rotated = Signal()
#: The session was ended. Also carries ``reason``, one of ``RevokeReason``.
session_revoked = Signal()
#: The same, once for all sessions that were ended together: carries ``sessions`` alone.
sessions_ended = Signal()
#: A spent refresh token came back. ``session_revoked`` with reason ``reuse`` goes before it.
refresh_token_reused = Signal()
#: A browser showed another device key for a session that is bound to one, the first time.
second_device_key = Signal()
