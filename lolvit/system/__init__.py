"""Debian packages that devices, tests and the Android app need."""
