"""The GPU: noise, noisy products, tickets and denoising in Triton, bit-equal to `consensus.ticket`.

Each file holds one kernel and its launcher; `mining` puts them together under the interface of
`kernels.cpu`, and `selftest` compares all of it with the reference on the device itself. Needs
torch and triton, and nothing here is imported where they are not asked for.
"""
