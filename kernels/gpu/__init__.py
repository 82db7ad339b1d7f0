"""The GPU: noise, noisy products, tickets and denoising in Triton, bit-equal to `consensus.ticket`.

`blake3`, `noise`, `product`, `denoise` and `tickets` hold kernels and their launchers; `tuning`
chooses among `configurations`, `weights` keeps operands between templates; `mining` puts them
together under the interface of `kernels.cpu`, and `selftest` compares all of it with the reference
on the device itself (docs/gpu.md). Needs torch and triton, and nothing here is imported where they
are not asked for.
"""
