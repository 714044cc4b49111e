"""Where models are compared: one file a device, behind the interface in `device.py`."""
