"""What waiting transactions are judged on: the state at the beginning of the next block."""

from collections.abc import Iterable
from copy import copy
from typing import Final

from ...consensus import records as r
from ...consensus.budget import Budget
from ...consensus.jobs.checker import ResultChecker
from ...consensus.state import State
from ...consensus.state_view import Overlay
from ...consensus.transition import apply_transaction, begin_block
from ...core.errors import PouwError, RuleViolation
from ...core.transaction import Transaction
from ..chainstate import Chain


class NotApplicable(PouwError):
    """A run of transactions stops at number `position`, for breaking a rule."""

    def __init__(self, position: int, violation: RuleViolation) -> None:
        super().__init__(str(violation))
        self.position: Final = position
        self.violation: Final = violation


class Draft:
    """A state to which transactions are added one after the other, within one block's budget."""

    def __init__(self, state: State, difficulty: int, checker: ResultChecker) -> None:
        """Write what is applied to `state`."""
        self.state: Final = state
        self._difficulty: Final = difficulty
        self._checker: Final = checker
        self._budget = Budget(state.params)

    def run(self, transactions: Iterable[Transaction]) -> int:
        """Apply transactions, all or none; return what the miner earns.

        Raises NotApplicable. Signatures were checked before.
        """
        state = self.state
        scratch = State(Overlay(state.overlay), state.params, state.height)
        budget = copy(self._budget)
        earned = 0
        for position, transaction in enumerate(transactions):
            try:
                earned += apply_transaction(
                    scratch, transaction, self._difficulty, self._checker, budget
                )
            except RuleViolation as violation:
                raise NotApplicable(position, violation) from violation
        scratch.overlay.commit_into_parent()
        self._budget = budget
        return earned

    def apply(self, transaction: Transaction) -> None:
        """Apply one transaction. Raises RuleViolation."""
        try:
            self.run((transaction,))
        except NotApplicable as failure:
            raise failure.violation from None


class Ground:
    """The state of one tip, as the next block's transactions find it."""

    def __init__(self, chain: Chain) -> None:
        """Apply what the next block begins with. The caller holds the chain's lock."""
        tip = chain.tip
        self.difficulty: Final = chain.index.context(tip).difficulty(chain.params)
        self.state: Final = State(Overlay(chain.state), chain.params, tip.height + 1)
        self._checker: Final = chain.checker
        begin_block(self.state, tip.sealed, self.difficulty)
        self.begun: Final = frozenset(self.state.overlay.diff())
        """State keys that the beginning of the next block changes."""

    @property
    def height(self) -> int:
        """Height of the next block."""
        return self.state.height

    def account(self, address: bytes) -> r.Account:
        """Return an account on which nothing pends."""
        return self.state.account(address)

    def draft(self) -> Draft:
        """Return a state of its own to add transactions to."""
        state = State(Overlay(self.state.overlay), self.state.params, self.height)
        return Draft(state, self.difficulty, self._checker)
