"""Seed phrases (BIP-39, English): the words a person writes down, their entropy and their seed."""

import difflib
import functools
import secrets
from typing import Final

from mnemonic import Mnemonic

from ..core.errors import UserError

WORD_COUNTS: Final = (12, 24)
"""Lengths that are offered for new phrases."""
READABLE_WORD_COUNTS: Final = (12, 15, 18, 21, 24)
"""Lengths that BIP-39 defines, hence may come from another wallet."""
ENTROPY_BYTES: Final = tuple(words * 4 // 3 for words in READABLE_WORD_COUNTS)
SEED_BYTES: Final = 64


def generate_phrase(words: int = 24) -> str:
    """Draw a new phrase of 12 or 24 words from the system's random source."""
    if words not in WORD_COUNTS:
        raise UserError(f"a new phrase has 12 or 24 words, not {words}")
    return entropy_phrase(secrets.token_bytes(words * 4 // 3))


def entropy_phrase(entropy: bytes) -> str:
    """Write 16 to 32 bytes of entropy as words. Raises UserError on other lengths."""
    if len(entropy) not in ENTROPY_BYTES:
        raise UserError(f"no phrase has {len(entropy)} bytes of entropy")
    return _english().to_mnemonic(entropy)


def phrase_entropy(phrase: str) -> bytes:
    """Read a phrase, in any case and spacing, back into its entropy (16 to 32 bytes).

    Raises UserError that names the first word that is not on the list, or says that the words do
    not belong together.
    """
    words = Mnemonic.normalize_string(phrase).lower().split()
    if len(words) not in READABLE_WORD_COUNTS:
        raise UserError(f"a phrase has 12 or 24 words, these are {len(words)}")
    known = _english().wordlist
    for position, word in enumerate(words, start=1):
        if word not in known:
            raise UserError(f"word {position}, '{word}', is not on the word list{_closest(word)}")
    try:
        return bytes(_english().to_entropy(words))
    except ValueError:
        raise UserError(
            "the words do not belong together (checksum): one is wrong, missing or out of order"
        ) from None


def phrase_seed(phrase: str, passphrase: str = "") -> bytes:
    """Stretch a valid phrase into its 64-byte BIP-39 seed. Raises UserError as phrase_entropy."""
    return Mnemonic.to_seed(entropy_phrase(phrase_entropy(phrase)), passphrase)


@functools.cache
def _english() -> Mnemonic:
    return Mnemonic("english")


def _closest(word: str) -> str:
    matches = difflib.get_close_matches(word, _english().wordlist, n=1)
    return f": is it '{matches[0]}'?" if matches else ""
