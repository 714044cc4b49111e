"""Quantiles of Student's t and of the normal distribution, for 95 % intervals of means."""

from __future__ import annotations

# Two-sided 95 % quantiles with 1 to 4 degrees of freedom.
_T_975 = (12.706204736, 4.302652730, 3.182446305, 2.776445105)
Z_975 = 1.959963985  # of the normal distribution: with any number of degrees of freedom


def t_quantile(freedom: int) -> float:
    """Return the two-sided 95 % quantile of Student's t: a table up to 4 degrees of freedom, and
    from 5 the Cornish-Fisher expansion, whose relative error is at most 0.011 %.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    if freedom <= len(_T_975):
        return _T_975[freedom - 1]
    z, v = Z_975, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )
