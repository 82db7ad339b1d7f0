"""For all tests: no deadlines. How long one example takes says more of the machine than of us."""

from hypothesis import settings

settings.register_profile("pouw", deadline=None)
settings.load_profile("pouw")
