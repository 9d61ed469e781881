"""The resource server of ``standalone``, for a server in a process of its own."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
