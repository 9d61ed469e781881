"""The views of an API."""

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Asks(APIView):
    """Says who is there."""

    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        """Answer with the id: a stateless token knows no name."""
        return Response({"user": str(request.user.pk)})


class Silent(APIView):
    """Asks nobody."""

    authentication_classes = []
    permission_classes = []

    def get(self, request: Request) -> Response:
        """Answer the same."""
        return Response({"user": "1"})

    def post(self, request: Request) -> Response:
        """Answer without a look at the body."""
        return Response({"user": "1"})
