"""Labelled images, without torch: for training, calibration and evaluation."""
