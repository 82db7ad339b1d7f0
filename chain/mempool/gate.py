"""What the account alone rules out, checked before the signature, which takes the most time."""

from ...core.errors import RuleViolation
from ...core.transaction import Payload
from .ground import Ground
from .sender import Sender


def check_payload(ground: Ground, payload: Payload, address: bytes, sender: Sender | None) -> None:
    """Refuse a payload whose envelope is wrong on this tip. The rules say all of it again.

    `sender` is what the address has waiting. Raises RuleViolation "tx-chain", "tx-expired",
    "tx-nonce" or "balance".
    """
    if payload.chain_id != ground.state.params.chain_id:
        raise RuleViolation("tx-chain", f"made for chain {payload.chain_id}")
    if payload.expiry < ground.height:
        raise RuleViolation("tx-expired", f"expired at height {payload.expiry}")
    account = ground.account(address)
    following = account.nonce if sender is None else sender.next_nonce
    if not account.nonce <= payload.nonce <= following:
        raise RuleViolation(
            "tx-nonce",
            f"nonce {payload.nonce}, the account is at {account.nonce} "
            f"and its next transaction has {following}",
        )
    if payload.fee > account.balance:
        raise RuleViolation(
            "balance",
            f"the fee costs {payload.fee} base units, the account has {account.balance}",
        )
