from tests.support.gateway_site import site

__all__ = ["site"]
