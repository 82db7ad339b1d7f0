"""Seed phrases against the official BIP-39 vectors, and every way to mistype one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pouw.core.errors import UserError
from pouw.wallet.mnemonic import (
    entropy_phrase,
    generate_phrase,
    phrase_entropy,
    phrase_seed,
)

ABOUT = "abandon " * 11 + "about"

# entropy, words, seed under passphrase "TREZOR" (github.com/trezor/python-mnemonic vectors.json)
VECTORS = [
    (
        "00" * 16,
        ABOUT,
        "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e5349553"
        "1f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04",
    ),
    (
        "7f" * 16,
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
        "2e8905819b8723fe2c1d161860e5ee1830318dbf49a83bd451cfb8440c28bd6f"
        "a457fe1296106559a3c80937a1c1069be3a3a5bd381ee6260e8d9739fce1f607",
    ),
    (
        "ff" * 32,
        "zoo " * 23 + "vote",
        "dd48c104698c30cfe2b6142103248622fb7bb0ff692eebb00089b32d22484e16"
        "13912f0a5b694407be899ffd31ed3992c456cdf60f5d4564b8ba3f05a69890ad",
    ),
]


@pytest.mark.parametrize(("entropy", "phrase", "seed"), VECTORS)
def test_official_vectors(entropy: str, phrase: str, seed: str) -> None:
    assert entropy_phrase(bytes.fromhex(entropy)) == phrase
    assert phrase_entropy(phrase).hex() == entropy
    assert phrase_seed(phrase, "TREZOR").hex() == seed


@pytest.mark.parametrize("words", [12, 24])
def test_new_phrases_are_valid_and_differ(words: int) -> None:
    phrases = {generate_phrase(words) for _ in range(8)}
    assert len(phrases) == 8
    for phrase in phrases:
        assert len(phrase.split()) == words
        assert len(phrase_entropy(phrase)) == words * 4 // 3


@pytest.mark.parametrize("words", [0, 11, 13, 15, 25])
def test_other_lengths_are_not_generated(words: int) -> None:
    with pytest.raises(UserError, match="12 or 24"):
        generate_phrase(words)


@given(st.sampled_from([16, 20, 24, 28, 32]).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
def test_entropy_round_trip(entropy: bytes) -> None:
    assert phrase_entropy(entropy_phrase(entropy)) == entropy


@given(st.integers(0, 40).filter(lambda n: n not in (16, 20, 24, 28, 32)))
def test_no_phrase_for_other_entropy(size: int) -> None:
    with pytest.raises(UserError, match=f"{size} bytes"):
        entropy_phrase(bytes(size))


def test_case_and_spacing_do_not_matter() -> None:
    assert phrase_entropy("\n  " + ABOUT.upper().replace(" ", "\t  ") + " ") == bytes(16)
    assert phrase_seed(ABOUT.title()) == phrase_seed(ABOUT)


def test_unknown_word_is_named_with_its_position_and_a_proposal() -> None:
    with pytest.raises(UserError, match=r"word 3, 'abandom', .* is it 'abandon'\?"):
        phrase_entropy(ABOUT.replace("abandon abandon abandon", "abandon abandon abandom", 1))


def test_unknown_word_without_a_near_one() -> None:
    with pytest.raises(UserError, match=r"word 12, 'qqqq', is not on the word list$"):
        phrase_entropy(ABOUT.replace("about", "qqqq"))


def test_checksum() -> None:
    with pytest.raises(UserError, match="checksum"):
        phrase_entropy("abandon " * 12)


@pytest.mark.parametrize("count", [0, 1, 11, 13, 25])
def test_number_of_words(count: int) -> None:
    with pytest.raises(UserError, match=f"these are {count}"):
        phrase_entropy("abandon " * count)


@given(st.text(max_size=200))
def test_any_text_gives_entropy_or_a_user_error(text: str) -> None:
    try:
        assert len(phrase_entropy(text)) in (16, 20, 24, 28, 32)
    except UserError as error:
        assert "\n" not in str(error)
