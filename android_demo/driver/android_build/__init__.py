"""Builds and tests the Android app: Maven, aapt2 and Robolectric, without Google's SDK."""
