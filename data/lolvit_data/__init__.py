"""Labelled images, without torch: what training learns from, what quantization calibrates on and
what evaluation counts on."""
