from batch_fixtures import batch, bench, common, place, short_esptool

__all__ = ["batch", "bench", "common", "place", "short_esptool"]
