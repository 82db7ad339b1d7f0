"""The thread that claims and delivers, so that devices do nothing but multiply.

At every new block it moves the jobs on and claims new ones. Devices wait for that moment, briefly:
a block that was mined before the last one's consequences were seen may lack a settlement that is
due, and idle work may displace a job that could be claimed.
"""

import threading
import time
from typing import Final

import structlog

from ..core.errors import UserError
from ..core.hashing import ZERO_HASH, Hash
from .desk import Desk
from .jobs import Jobs
from .node_link import NodeAway, NodeLink
from .pace import Fleet
from .templates import Template, TemplateSource

_log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.2
"""Longest wait before looking at the stop signal and for results again."""
TEND_SECONDS: Final = 5.0
"""Jobs are looked at this often while no block comes."""
PATIENCE_SECONDS: Final = 5.0
"""Longest wait of a device for the jobs to be tended: milliseconds as a rule, but uploads to a node
far away may take far longer."""


class JobCoordinator:
    """Tends the jobs of one miner."""

    def __init__(
        self, link: NodeLink, templates: TemplateSource, desk: Desk, stop: threading.Event
    ) -> None:
        """Work for the hot key at `desk` until `stop` is set."""
        self.desk: Final = desk
        self.jobs: Final = Jobs(desk)
        self.fleet: Final = Fleet()
        self._link = link
        self._templates = templates
        self._stop = stop
        self._changed = threading.Condition()
        self._tended: Hash = ZERO_HASH
        self._tend_at = 0.0

    def run(self) -> None:
        """Tend until the stop signal; the body of a thread."""
        self.jobs.resume()
        while not self._stop.is_set():
            template = self._templates.latest
            if template is None or self._link.away:
                self._stop.wait(PAUSE_SECONDS)
                continue
            self.turn(template)
            self._templates.wait_beyond(template.header.parent, PAUSE_SECONDS)
        with self._changed:
            self._changed.notify_all()  # nobody is to wait any more

    def turn(self, template: Template) -> None:
        """Do what a template's tip asks for; then devices may go on under it."""
        parent, tip, sent = template.header.parent, template.header.height - 1, self.desk.sent
        due = parent != self._tended or time.monotonic() >= self._tend_at
        try:
            if due:
                self.jobs.tend(tip)
                self.jobs.seek(tip, template.difficulty, self.fleet)
            else:
                self.jobs.hand_in(tip)
            if self.desk.sent != sent:
                self._templates.refresh()
        except NodeAway:
            due = False  # told by the link; to be done again
        except UserError as error:
            _log.warning("jobs.trouble", why=str(error))
        with self._changed:
            if due:
                self._tended = parent
                self._tend_at = time.monotonic() + TEND_SECONDS
            self._changed.notify_all()

    def await_tended(self) -> None:
        """Wait until the newest block's consequences for the jobs are seen to, or too long."""
        with self._changed:
            self._changed.wait_for(self._is_tended, PATIENCE_SECONDS)

    def _is_tended(self) -> bool:
        latest = self._templates.latest
        if latest is None or self._stop.is_set():
            return True
        return self._link.away or latest.header.parent == self._tended
