"""The tensor machine: typed integer programs, checked at registration, metered, run exactly.

A program comes as bytes (`program.decode_program`), is judged once (`check.check_program`,
`weights.check_weights`), priced (`metering.cost_of`) and run (`executor.execute`) with whatever
gives it exact products. Integers only, front ends aside.
"""
