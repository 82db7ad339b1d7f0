"""All methods of a node."""

from typing import Final

from . import accounts, blobs, chain, jobs, mining, models, network, transactions
from .registry import MethodTable

ALL_METHODS: Final = MethodTable(
    subject.METHODS
    for subject in (chain, accounts, transactions, blobs, models, jobs, mining, network)
)
