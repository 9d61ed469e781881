"""An ordinary view of REST framework: it says what arrived here."""

from typing import Any

from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer, TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Orders(APIView):
    """Takes orders in any form and keeps none: JSON for scripts, a page for people."""

    permission_classes = [IsAuthenticated]
    renderer_classes = [JSONRenderer, TemplateHTMLRenderer]

    def get(self, request: Request) -> Response:
        """Say what arrived; of cookies their names alone."""
        claims: Any = request.auth
        arrived: dict[str, Any] = {
            "server": "orders",
            "cookies": sorted(request.COOKIES),
            "queries": None,
            "person": f"{claims['username']}, person {claims['sub']}",
            "bytes": int(request.headers.get("Content-Length") or 0),
        }
        return Response(arrived, template_name="orders/arrived.html")

    def post(self, request: Request) -> Response:
        """Take a form, or a file."""
        answer = self.get(request)
        fields = request.data if isinstance(request.data, dict) else {}
        answer.data["order"] = fields.get("order")
        answer.data["files"] = {name: file.size for name, file in request.FILES.items()}
        return answer

    def put(self, request: Request) -> Response:
        """Take JSON."""
        return self.post(request)
