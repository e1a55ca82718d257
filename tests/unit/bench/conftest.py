from tests.support.batch_fixtures import batch, bench, common, location, short_esptool

__all__ = ["batch", "bench", "common", "location", "short_esptool"]
