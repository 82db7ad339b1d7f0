"""How one cell of an op's result is judged by a few cells of its operands.

`judge_of` gives an op's judge; `bounds` says beforehand what the longest proof takes. No op is
computed here: a judge cuts the boxes it needs out of the operands and lets the op itself run on
them, so that it cannot come to mean anything else than the op.
"""
