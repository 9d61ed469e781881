"""What people see: the pages, their words, and the e-mails."""
