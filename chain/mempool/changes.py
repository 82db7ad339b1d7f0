"""What a change of the chain means for the pool: what comes back, and who must be looked at again.

Only senders of transactions lose money, use up nonces or take what others wanted. So for a block
put on top, the accounts of its senders, the jobs, blobs and models that its transactions name and
whatever the beginnings of blocks change are all that can spoil what waits. Money that comes in
spoils nothing. When blocks are taken off, or several come at once, money may also vanish that had
come in before, and the beginnings between are not known: then balances and nonces are compared, and
what hangs on jobs, blobs or models is run again.
"""

from collections.abc import Iterable, Iterator, Mapping

from ...core.codec import encode
from ...core.hashing import Hash
from ...core.transaction import Bundle, Transaction
from ..chainstate import ChainChange
from .entry import Entry, keys_of, make_entry
from .fees import fee_at
from .ground import Ground
from .index import EntryIndex
from .room import bundles_of
from .sender import Sender


def returned(change: ChainChange, ground: Ground, now: int) -> dict[bytes, list[Entry]]:
    """Return the transactions of blocks taken off that no other block has, by sender and nonce.

    Those that pay less than relaying costs do not come back.
    """
    if not change.disconnected:
        return {}
    included = {each.id for each in _transactions(change)}
    back: dict[bytes, list[Entry]] = {}
    for _, body in reversed(change.disconnected):
        for bundle in bundles_of(body):
            identity = bundle.transaction.id
            if identity not in included:
                entry = _entry_back(ground, bundle, identity, now)
                if entry is not None:
                    back.setdefault(entry.sender, []).append(entry)
    return back


def disturbed(
    change: ChainChange,
    before: Ground,
    after: Ground,
    index: EntryIndex,
    senders: Mapping[bytes, Sender],
) -> Iterator[bytes]:
    """Yield the addresses whose waiting transactions may have become invalid, some repeatedly."""
    keys: Iterable[bytes]
    if not change.disconnected and len(change.connected) == 1:
        included = list(_transactions(change))
        addresses = dict.fromkeys(each.payload.sender_address for each in included)
        yield from (address for address in addresses if address in senders)
        keys = {key for each in included for key in keys_of(each)} | before.begun | after.begun
    else:
        yield from (address for address, each in senders.items() if _is_poorer(each, after))
        keys = list(index.watched())
    yield from (entry.sender for entry in index.watching(keys))


def _is_poorer(sender: Sender, ground: Ground) -> bool:
    account = ground.account(sender.address)
    return account.nonce != sender.entries[0].nonce or account.balance < sender.balance


def _transactions(change: ChainChange) -> Iterator[Transaction]:
    return (each for _, body in change.connected for each in body.transactions)


def _entry_back(ground: Ground, bundle: Bundle, identity: Hash, now: int) -> Entry | None:
    payload, size = bundle.transaction.payload, len(encode(bundle))
    if payload.fee < fee_at(ground.state.params.min_fee_per_kib, size):
        return None
    return make_entry(ground.state, bundle, identity, payload.sender_address, size, now)
