"""Fixtures for the Swift library's tests, and the tests themselves, in Swift on Linux."""
