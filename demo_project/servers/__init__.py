"""An authorization server and two resource servers on this machine: ``manage.py servers``."""
