"""Fill the database of the authorization server, and collect what nginx serves by itself."""

import django
from django.core.management import call_command

if __name__ == "__main__":
    django.setup()
    from demo_project.management.commands.demo import fill_database

    fill_database()
    call_command("collectstatic", interactive=False, verbosity=0)
