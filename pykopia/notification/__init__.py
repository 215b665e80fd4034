"""Messages about what happened, by e-mail, webhook or Pushover; profiles and templates lie in the repository as Kopia's."""
