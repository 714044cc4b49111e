"""Heads of dense predictions, on a backbone's maps at strides 8, 16 and 32."""
