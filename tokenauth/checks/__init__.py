"""System checks: what is wrong with a site's settings, and what to edit."""
