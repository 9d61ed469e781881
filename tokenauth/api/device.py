"""Answer where another URLconf than ROOT_URLCONF leads to the two device URLs.

Else the middleware does: nothing of the site's may stand between a browser and them.
"""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from tokenauth.conf import conf
from tokenauth.lazy import credentials_of


@csrf_exempt
def device(request: HttpRequest) -> HttpResponse:
    """Answer a browser that registers a key or proves it. Raises Http404 where none is bound."""
    if not conf.DEVICE_BINDING:
        raise Http404
    from tokenauth.device import endpoints  # noqa: PLC0415  # joserfc is optional

    is_refresh = request.path.endswith(endpoints.REFRESH)
    answer = endpoints.refresh if is_refresh else endpoints.register
    return answer(credentials_of(request))
