"""Real servers."""

from real_postgresql import postgresql_server, postgresql_url

__all__ = ["postgresql_server", "postgresql_url"]
