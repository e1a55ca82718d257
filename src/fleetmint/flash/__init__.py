"""What goes into the flash of an ESP32, and how it gets there."""
