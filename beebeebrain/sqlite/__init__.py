"""Django's backend for SQLite, with a queue for its one writer that is fair enough; Django finds it by this package's name."""
