"""The jobs service: starts jobs over REST and by schedules. A process of its own, started by `control`."""
