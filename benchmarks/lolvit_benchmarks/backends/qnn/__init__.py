"""Qualcomm's estimates of a model on its chips: nothing is run there."""
