"""The PoUW ticket (protocol §2–7): noise, transcript, target, proof and verification.

Plain numpy and exact: the reference that verifiers run and that fast kernels must match.
"""

from .proof import Operand, Shape, Tag, prove
from .verify import check_head, check_opening

__all__ = ["Operand", "Shape", "Tag", "prove", "check_head", "check_opening"]
