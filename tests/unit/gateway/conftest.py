from tests.support.gateway_site import engine, site

__all__ = ["engine", "site"]
