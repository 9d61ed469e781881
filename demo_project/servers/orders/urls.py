"""The addresses of the orders."""

from django.urls import path

from demo_project.servers.orders.views import Orders

urlpatterns = [path("api/orders/", Orders.as_view(), name="orders")]
