"""Post-training quantization of fp32 artifacts, with what stays in float decided by measurement.

    fp32 artifact + calibration images -> candidates -> sensitivity -> plan -> quantized artifact

One file a format holds its quantizer; the search, the plan and the timing know no format.
"""
