"""The newest template, whoever fetched it."""

import threading

import pytest
from pouw.core.errors import UserError
from pouw.core.keys import format_address
from pouw.miner.templates import TemplateSource
from pouw.tests.miner.harbour import FRIEND, OTHERS, PARAMS, WORKER, Harbour, HarbourLink

PAYOUT = format_address(FRIEND.address, PARAMS.address_prefix)


@pytest.fixture
def source(harbour: Harbour) -> TemplateSource:
    return TemplateSource(HarbourLink(harbour), WORKER.public, PAYOUT)


def test_a_template_is_for_this_miner_and_on_the_tip(
    harbour: Harbour, source: TemplateSource
) -> None:
    assert source.latest is None
    template = source.refresh()
    assert source.latest is template
    assert template.header.parent == harbour.chain.tip.id
    assert (template.header.miner, template.header.payout) == (WORKER.public, FRIEND.address)
    assert template.sigma == template.header.sigma
    assert template.difficulty == PARAMS.initial_difficulty


def test_following_brings_each_new_tip(harbour: Harbour, source: TemplateSource) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=source.follow, args=(stop,))
    thread.start()
    try:
        parent = harbour.chain.tip.id
        assert source.wait_beyond(bytes(32), 5) is not None
        for _ in range(3):
            harbour.mine()
            template = source.wait_beyond(parent, 5)
            assert template is not None
            parent = template.header.parent
            assert parent == harbour.chain.tip.id
    finally:
        stop.set()
        harbour.mine()  # ends the poll at once
        thread.join(5)
    assert not thread.is_alive()


def test_an_answer_overtaken_by_a_newer_one_is_dropped(
    harbour: Harbour, source: TemplateSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = source.refresh()
    fetch = source._fetch

    def overtaken(wish: dict[str, object]) -> object:
        answer = fetch(wish)  # the node has answered, the answer is under way
        monkeypatch.undo()
        harbour.mine()
        source.refresh()
        return answer

    monkeypatch.setattr(source, "_fetch", overtaken)
    published = source.refresh()
    assert published is source.latest
    assert published.header.height == old.header.height + 1


def test_a_header_for_another_miner_is_refused(harbour: Harbour) -> None:
    honest = harbour.answer("gettemplate", {"miner": OTHERS.public.hex(), "payout": PAYOUT})
    link = HarbourLink(harbour)
    source = TemplateSource(link, WORKER.public, PAYOUT)
    harbour.answers["gettemplate"] = honest
    with pytest.raises(UserError, match="not for this miner"):
        source.refresh()
    harbour.answers["gettemplate"] = honest | {"header": honest["header"][:-2]}
    with pytest.raises(UserError, match="unreadable header"):
        source.refresh()
    harbour.answers["gettemplate"] = {"id": 5}
    with pytest.raises(UserError, match="form unknown"):
        source.refresh()
    assert source.latest is None


def test_waiting_for_a_change_ends_in_time(source: TemplateSource) -> None:
    template = source.refresh()
    source.wait_change(template, 0.01)
    assert source.wait_beyond(template.header.parent, 0.01) is template
