"""All methods of a node."""

from typing import Final

from . import accounts, blobs, chain, evidence, jobs, mining, models, network, proofs, transactions
from .registry import MethodTable

ALL_METHODS: Final = MethodTable(
    subject.METHODS
    for subject in (
        *(chain, accounts, transactions, proofs, evidence, blobs, models, jobs, mining, network),
    )
)
