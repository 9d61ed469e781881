"""Make the people and sessions that tests need."""

import factory
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import RequestFactory

PASSWORD = "secret-pass-1"


class UserFactory(factory.django.DjangoModelFactory):
    """A person of whichever user model is on; ``username`` becomes the e-mail of a Member."""

    class Meta:
        model = settings.AUTH_USER_MODEL

    username = factory.Sequence("person{}".format)
    password = factory.django.Password(PASSWORD)

    @classmethod
    def _adjust_kwargs(cls, **kwargs):
        if get_user_model().USERNAME_FIELD == "email":
            username = kwargs.pop("username")
            kwargs.setdefault("email", f"{username}@site.test")
        return kwargs


class StaffFactory(UserFactory):
    """Somebody who may do everything in the admin."""

    is_staff = True
    is_superuser = True


class SessionFactory(factory.django.DjangoModelFactory):
    """A session as a sign-in starts it; ``request`` says from which device."""

    class Meta:
        model = "tokenauth.AuthSession"

    user = factory.SubFactory(UserFactory)
    request = factory.LazyFunction(lambda: RequestFactory().get("/"))

    @classmethod
    def _create(cls, model_class, request, user, **kwargs):
        return model_class.objects.start(request, user, **kwargs)
