"""All jobs of this miner: claimed, waiting for a device, executed, on their way to be settled.

One thread, the coordinator's, claims and delivers, so that transactions have one sender. Devices
take ready jobs and hand in results from threads of their own; a lock keeps the lists, and is never
held while a node is asked.
"""

import threading
from typing import Final

import structlog

from ..consensus import prices
from ..core.codec import MAX_INT
from ..core.errors import RuleViolation, UserError
from ..core.hashing import Hash
from ..core.units import format_amount
from ..vm.tensor import input_items
from ..wallet import bodies
from ..wallet.client import RpcError
from .desk import Desk
from .life import JobLife, Step, new_entry
from .node_link import NodeAway
from .offers import SAFETY, JobOffer, best_first, in_time, why_not, why_undeliverable
from .pace import Fleet

_log = structlog.get_logger(__name__)

MAX_JOBS: Final = 64
"""Jobs at once, from claim to settlement. Each costs a few questions to the node at every block."""
LISTED_JOBS: Final = 100
RETRY_BLOCKS: Final = 4
"""Blocks after which a job that could not be claimed is looked at again."""
FOR_GOOD: Final = MAX_INT
FEE_RESERVE_KIB: Final = 64
"""KiB of transactions that must stay affordable for each job: commit, upload, settle."""
MAX_AVOIDED: Final = 10_000
"""Jobs remembered as not to be claimed; there are never more, whatever a node lists."""
MAX_MISFITS: Final = 4
"""Jobs fetched in vain at one block: results wait for their delivery meanwhile."""
MAX_DEVICES_LOST: Final = 3
"""A job in which devices were lost so often is given up: the next one would be lost, too."""
URGENT_BLOCKS: Final = 3
"""A job whose window ends so soon goes before those that share a model with the last one."""


class Jobs:
    """Finds, claims and delivers. Methods raise NodeAway when the node is."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk
        self._lock = threading.Lock()
        self._lives: list[JobLife] = []
        self._ready: list[JobLife] = []
        self._executing: list[JobLife] = []
        self._fresh: list[JobLife] = []
        """Executed since they were last stepped."""
        self._avoided: dict[Hash, int] = {}
        self._short_of: int | None = None

    # What devices' threads call -----------------------------------------------------------------

    def next_ready(self, tip: int, model: str | None) -> JobLife | None:
        """Return a job to execute, if there is one in time, and count it as being executed.

        One of `model` (hexadecimal) goes first, whose weights the device has at hand; otherwise
        the one whose window ends soonest.
        """
        with self._lock:
            in_order = sorted(self._ready, key=_window_end)
            in_order = [life for life in in_order if _window_end(life) > tip + 1]
            if not in_order:
                return None
            alike = [one for one in in_order if one.offer is not None and one.offer.model == model]
            urgent = _window_end(in_order[0]) <= tip + URGENT_BLOCKS
            life = in_order[0] if urgent or not alike else alike[0]
            self._ready.remove(life)
            self._executing.append(life)
            return life

    def holds(self, life: JobLife) -> bool:
        """Tell whether a job under execution is still wanted."""
        with self._lock:
            return life in self._lives

    def executed(self, life: JobLife, output: bytes, products: tuple[bytes, ...]) -> None:
        """Take a job's result, unless it came too late."""
        if not self.holds(life):
            return
        life.take_result(output, products)  # writes to a disk: not under the lock
        with self._lock:
            if life in self._lives:
                self._executing.remove(life)
                self._fresh.append(life)
                return
        self._desk.journal.remove(life.job)  # dropped meanwhile

    def give_back(self, life: JobLife) -> None:
        """Let another device execute a job that was being executed."""
        with self._lock:
            if life in self._executing:
                self._executing.remove(life)
                self._ready.append(life)

    def device_lost(self, life: JobLife) -> None:
        """Let another device execute a job in which one was lost, unless that is its custom."""
        life.devices_lost += 1
        if life.devices_lost < MAX_DEVICES_LOST:
            self.give_back(life)
        else:
            self.give_up(life, f"{life.devices_lost} times a device was lost in it")

    def give_up(self, life: JobLife, why: str) -> None:
        """Stop working on a job, for good."""
        if self.holds(life):
            life.abandon(why)
            self._drop(life, FOR_GOOD)

    # What the coordinator's thread calls --------------------------------------------------------

    def resume(self) -> None:
        """Take up the jobs that an earlier process of this miner has left."""
        for entry in self._desk.journal.load():
            _log.info("job.resumed", job=entry.job.hex(), executed=bool(entry.output))
            self._add(JobLife(self._desk, entry, None))

    def tend(self, tip: int) -> None:
        """Move every job on; `tip` is the height of the newest block."""
        with self._lock:
            lives = list(self._lives)
            self._fresh.clear()
        for life in lives:
            self._move(life, tip)

    def hand_in(self, tip: int) -> None:
        """Commit to the results that have come since."""
        with self._lock:
            fresh = list(self._fresh)
            self._fresh.clear()
        for life in fresh:
            self._move(life, tip)

    def seek(self, tip: int, difficulty: int, fleet: Fleet) -> None:
        """Claim the best jobs: as many as these devices can execute in time and the hot key pays.

        What is claimed together is decided in the same block, executed back to back and settled
        together: small jobs need no other batching.
        """
        with self._lock:
            self._avoided = {job: until for job, until in self._avoided.items() if until > tip}
            ahead = sum(fleet.share(life.macs) for life in self._lives if life.macs)
        if fleet.idle or len(self._lives) >= MAX_JOBS:
            return
        money: int | None = None
        misfits = 0
        offers = self._desk.jobs("submitted", LISTED_JOBS)
        for offer in best_first(offers, self._desk.params, fleet):
            if len(self._lives) >= MAX_JOBS or misfits >= MAX_MISFITS:
                return
            if self._is_known(offer.hash) or not self._suits(offer, tip, difficulty, fleet):
                continue
            if not in_time(offer, self._desk.params, difficulty, fleet, ahead):
                continue  # not now: others wait already
            if not self._deliverable(offer):
                continue
            money = self._money() if money is None else money
            cost = self._cost(offer)
            if cost > money:
                self._tell_too_poor(cost, money)
            elif not self._fits(offer):
                misfits += 1
            elif self._claim(offer, tip):
                money -= cost
                ahead += fleet.share(offer.macs)

    def _is_known(self, job: Hash) -> bool:
        with self._lock:
            return job in self._avoided or any(life.job == job for life in self._lives)

    def _suits(self, offer: JobOffer, tip: int, difficulty: int, fleet: Fleet) -> bool:
        """Tell whether a job is worth having, were there nothing else; note why it is not."""
        params = self._desk.params
        why = why_not(offer, params, tip + 1, difficulty)
        if why is not None:
            self._pass_over(offer, why, offer.deadline)
        elif not in_time(offer, params, difficulty, fleet):
            why = "it is too large for this machine's speed"
            self._pass_over(offer, why, tip + RETRY_BLOCKS)
        return why is None

    def _fits(self, offer: JobOffer) -> bool:
        """Tell whether the job's blobs let it be done, having fetched them; note why not."""
        library, why = self._desk.library, None
        try:
            model = library.model(bytes.fromhex(offer.model))
            data = library.input(bytes.fromhex(offer.input))
            why = why_undeliverable(model, input_items(model.checked, len(data)), self._desk.params)
        except NodeAway:
            raise
        except (RuleViolation, UserError) as error:
            why = str(error)
        except MemoryError:
            why = "it takes more memory than there is"
        if why is not None:
            self._pass_over(offer, why, offer.deadline)
        return why is None

    def _pass_over(self, offer: JobOffer, why: str, until: int) -> None:
        _log.info("job.passed", job=offer.id, why=why)
        with self._lock:
            self._avoid(offer.hash, until)

    def _avoid(self, job: Hash, until: int) -> None:
        """Leave a job alone below a height. Under the lock; beyond the bound the oldest go."""
        self._avoided[job] = until
        while len(self._avoided) > MAX_AVOIDED:
            del self._avoided[next(iter(self._avoided))]

    def _deliverable(self, offer: JobOffer) -> bool:
        """Tell whether blocks have room to check it along with all that is under way.

        All may be committed at about the same time, and a settlement that finds no room before the
        window is over costs its bond.
        """
        params = self._desk.params
        under_way = [life.offer for life in self._lives if life.offer is not None]
        if not under_way:
            return True
        macs = sum(one.check_macs for one in (offer, *under_way))
        size = sum(one.check_bytes for one in (offer, *under_way))
        blocks = params.settle_window // SAFETY
        return (
            macs <= blocks * params.block_check_macs and size <= blocks * params.block_check_bytes
        )

    def _cost(self, offer: JobOffer) -> int:
        params = self._desk.params
        bond = prices.claim_bond(params, offer.bounty, offer.openings)
        return bond + FEE_RESERVE_KIB * params.min_fee_per_kib

    def _money(self) -> int:
        """Return what may be staked: the balance without what is promised already."""
        reserve = len(self._lives) * FEE_RESERVE_KIB * self._desk.params.min_fee_per_kib
        promised = sum(life.unseen_bond for life in self._lives)
        return self._desk.balance() - promised - reserve

    def _tell_too_poor(self, cost: int, money: int) -> None:
        if self._lives or (self._short_of is not None and cost >= self._short_of):
            return  # the bonds of jobs under way come back; or it was told
        self._short_of = cost
        _log.warning(
            "job.too_poor",
            why=f"a claim takes {format_amount(cost)} POUW (bond and fees), the hot key has "
            f"{format_amount(max(0, money))}: send some to {self._desk.worker}",
        )

    def _claim(self, offer: JobOffer, tip: int) -> bool:
        entry = new_entry(offer)
        self._desk.journal.save(entry)
        try:
            claim = self._desk.send(bodies.claim_job(offer.hash))
        except RpcError as refusal:
            self._desk.journal.remove(offer.hash)
            with self._lock:
                self._avoid(offer.hash, tip + RETRY_BLOCKS)
            _log.info("job.claim_refused", job=offer.id, why=refusal.message)
            return False
        except UserError:
            # What was lost may be the answer only: a claim that is forgotten costs its bond.
            _log.warning("job.claim_unanswered", job=offer.id)
            self._add(JobLife(self._desk, entry, None, offer))
            raise
        _log.info("job.claiming", job=offer.id, macs=offer.macs, bounty=format_amount(offer.bounty))
        self._short_of = None
        self._add(JobLife(self._desk, entry, claim, offer))
        return True

    def _move(self, life: JobLife, tip: int) -> None:
        """Move one job on; what is wrong with it alone keeps no other from being delivered."""
        try:
            step = life.step(tip)
        except NodeAway:
            raise
        except UserError as error:
            _log.warning("job.trouble", job=life.job.hex(), why=str(error))
            return
        if step is Step.FAILED:
            self._drop(life, FOR_GOOD)
        elif step in (Step.DONE, Step.LOST):
            self._drop(life, tip + RETRY_BLOCKS)
        elif step is Step.EXECUTE:
            with self._lock:
                taken = life in self._ready or life in self._executing or life.executed
                if life in self._lives and not taken:
                    self._ready.append(life)

    def _add(self, life: JobLife) -> None:
        with self._lock:
            self._lives.append(life)

    def _drop(self, life: JobLife, avoid_until: int) -> None:
        with self._lock:
            for group in (self._lives, self._ready, self._executing, self._fresh):
                if life in group:
                    group.remove(life)
            self._avoid(life.job, avoid_until)
            self._desk.journal.remove(life.job)


def _window_end(life: JobLife) -> int:
    """Return the height at which a job's window is over."""
    if life.offer is None or life.offer.window_end is None:
        return MAX_INT
    return life.offer.window_end
