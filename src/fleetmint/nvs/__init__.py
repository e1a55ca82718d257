"""NVS partition images of ESP-IDF: writing them for the factory, reading them back from a board."""
