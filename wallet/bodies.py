"""What a transaction does, from a person's input: every body type, checked before it costs a fee.

The rules are consensus'; these checks only turn the mistakes that people make into one line each.
"""

from collections.abc import Sequence

from ..core.blob import blob_root
from ..core.codec import MAX_INT
from ..core.errors import UserError
from ..core.hashing import HASH_BYTES, ZERO_HASH, Hash
from ..core.keys import ADDRESS_BYTES
from ..core.transaction import (
    INSTANT_MODE,
    MAX_CARD_CHARS,
    MAX_LICENCE_CHARS,
    MAX_NAME_CHARS,
    MAX_OUTPUT_BYTES,
    MAX_POSTED_PRODUCTS,
    MAX_ROYALTY_SHARES,
    MAX_TRANSFER_OUTPUTS,
    CancelJob,
    ClaimJob,
    CommitResult,
    Output,
    RegisterModel,
    RoyaltyShare,
    SettleJob,
    SubmitJob,
    Transfer,
    result_commitment,
)
from ..genesis import Params


def transfer(payments: Sequence[tuple[bytes, int]]) -> Transfer:
    """Pay base units to addresses: (32-byte address, amount > 0) each. Raises UserError."""
    if not 1 <= len(payments) <= MAX_TRANSFER_OUTPUTS:
        raise UserError(f"a transfer pays 1 to {MAX_TRANSFER_OUTPUTS} addresses")
    for address, amount in payments:
        _require_bytes("an address", address, ADDRESS_BYTES)
        if amount < 1:
            raise UserError("a payment is more than zero")
    if sum(amount for _, amount in payments) > MAX_INT:
        raise UserError("the payments add up to more than can ever exist")
    return Transfer(tuple(Output(address, amount) for address, amount in payments))


def register_model(
    params: Params,
    name: str,
    program: Hash,
    weights: Hash,
    licence: str = "",
    royalties: Sequence[tuple[bytes, int]] = (),
    card: str = "",
    previous: Hash = ZERO_HASH,
) -> RegisterModel:
    """Register blobs that are on the chain as a model.

    `program` and `weights` are blob roots; `royalties` (32-byte address, basis points of every
    bounty) each; `card` is what people should know of the model, `previous` the sender's model that
    it replaces. Raises UserError.
    """
    _require_bytes("a blob root", program, HASH_BYTES)
    _require_bytes("a blob root", weights, HASH_BYTES)
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise UserError(f"a model's name is 1 to {MAX_NAME_CHARS} printable characters")
    if len(licence) > MAX_LICENCE_CHARS:
        raise UserError(f"a licence is at most {MAX_LICENCE_CHARS} characters: link to the text")
    if len(card) > MAX_CARD_CHARS:
        raise UserError(f"a card is at most {MAX_CARD_CHARS} characters: shorten or link its texts")
    _require_bytes("a model id", previous, HASH_BYTES)
    if len(royalties) > MAX_ROYALTY_SHARES:
        raise UserError(f"at most {MAX_ROYALTY_SHARES} contributors can take royalties")
    for address, points in royalties:
        _require_bytes("an address", address, ADDRESS_BYTES)
        if points < 1:
            raise UserError("a royalty is at least one basis point (0.01 %)")
    if sum(points for _, points in royalties) > params.max_royalty_basis_points:
        raise UserError(
            f"royalties take at most {params.max_royalty_basis_points} basis points in all"
        )
    shares = tuple(RoyaltyShare(address, points) for address, points in royalties)
    return RegisterModel(name, program, weights, licence, shares, card, previous)


def submit_job(model: Hash, input_root: Hash, bounty: int, deadline: int) -> SubmitJob:
    """Ask for a model's answer on an input blob, in instant mode.

    `bounty` in base units, `deadline` the height from which an unsettled job is refunded. Raises
    UserError.
    """
    _require_bytes("a model id", model, HASH_BYTES)
    _require_bytes("a blob root", input_root, HASH_BYTES)
    if not 0 <= bounty <= MAX_INT:
        raise UserError("a bounty is not negative and not more than can ever exist")
    if not 0 <= deadline <= MAX_INT:
        raise UserError("a deadline is a block height")
    return SubmitJob(model, input_root, INSTANT_MODE, bounty, deadline)


def cancel_job(job: Hash) -> CancelJob:
    """Take an unclaimed job back. Raises UserError."""
    _require_bytes("a job id", job, HASH_BYTES)
    return CancelJob(job)


def claim_job(job: Hash) -> ClaimJob:
    """Stake the bond for a window to work on a job. Raises UserError."""
    _require_bytes("a job id", job, HASH_BYTES)
    return ClaimJob(job)


def commit_result(worker: bytes, job: Hash, output: bytes, salt: bytes) -> CommitResult:
    """Freeze a claimed job under a worker's (32-byte address) output; `salt` is 32 bytes.

    Raises UserError.
    """
    _require_bytes("an address", worker, ADDRESS_BYTES)
    _require_bytes("a job id", job, HASH_BYTES)
    _require_bytes("a salt", salt, HASH_BYTES)
    _require_output(output)
    return CommitResult(job, result_commitment(worker, job, blob_root(output), salt))


def settle_job(job: Hash, output: bytes, salt: bytes, products: Sequence[Hash] = ()) -> SettleJob:
    """Reveal a committed output; `products` are the blob roots of the posted products, in order.

    Raises UserError.
    """
    _require_bytes("a job id", job, HASH_BYTES)
    _require_bytes("a salt", salt, HASH_BYTES)
    _require_output(output)
    if len(products) > MAX_POSTED_PRODUCTS:
        raise UserError(f"a settlement posts at most {MAX_POSTED_PRODUCTS} products")
    for root in products:
        _require_bytes("a blob root", root, HASH_BYTES)
    return SettleJob(job, output, salt, tuple(products))


def _require_bytes(what: str, value: bytes, length: int) -> None:
    if len(value) != length:
        raise UserError(f"{what} is {length} bytes, not {len(value)}")


def _require_output(output: bytes) -> None:
    if not 1 <= len(output) <= MAX_OUTPUT_BYTES:
        raise UserError(f"an output is 1 to {MAX_OUTPUT_BYTES} bytes, not {len(output)}")
