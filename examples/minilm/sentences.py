"""Sentences to calibrate the encoder with, and others to measure it on."""

from itertools import product
from typing import Final

CALIBRATION: Final = (
    "The committee postponed its decision until the spring.",
    "Whales sleep with one half of the brain at a time.",
    "How do I change the password of my account?",
    "Add the flour slowly and stir until no lumps are left.",
    "The stock fell four percent after the earnings report.",
    "Her grandmother taught her to play the violin.",
    "Trains to the airport leave every ten minutes.",
    "A matrix is invertible if its determinant is not zero.",
    "The novel was translated into thirty languages.",
    "He forgot his umbrella and arrived soaked.",
    "Please send the signed contract by Friday.",
    "The volcano has been quiet since the last century.",
    "Antibiotics do not help against viruses.",
    "What time does the museum open on Sundays?",
    "They painted the kitchen in a pale yellow.",
    "The goalkeeper saved two penalties in the final.",
    "My laptop does not start since the last update.",
    "Rice should be rinsed before it is cooked.",
    "The treaty was signed by eleven countries.",
    "Is there a pharmacy that is open all night?",
    "A flock of geese flew south over the lake.",
    "The jury could not agree on a verdict.",
    "Light takes eight minutes from the sun to the earth.",
    "We are out of coffee again!",
    "The bridge will be closed for repairs until May.",
    "She answered every letter that she received.",
    "Inflation slowed down for the third month in a row.",
    "Turn left at the church and follow the river.",
    "The patient was discharged after two days.",
    "Nobody expected the youngest player to win.",
    "Compile the program and run all of its tests.",
    "The old theatre smelled of dust and velvet.",
)
"""Typical English of several kinds; none of it is measured on."""

_SUBJECTS: Final = (
    "The old fisherman", "A young programmer", "My neighbour's dog", "The new teacher",
    "Our local bakery", "The city council", "An experienced nurse", "The night train",
    "A group of students", "The museum's director", "The farmer's daughter", "A tired cyclist",
    "The research team", "The youngest judge", "A travelling musician", "The hotel manager",
    "The first astronaut", "A curious child", "The retired captain", "The software company",
)  # fmt: skip
_ENDS: Final = (
    "left early because of the heavy rain.",
    "won a prize for the work of many years.",
    "could not find the key to the garden door.",
    "made an important announcement this morning.",
    "was seen near the river late at night.",
    "asked for help with a difficult problem.",
    "bought fresh vegetables at the market.",
    "has never been to the mountains before.",
    "lost a large amount of money last winter.",
    "is known everywhere for being very patient.",
)

MEASURED: Final = tuple(f"{subject} {end}" for subject, end in product(_SUBJECTS, _ENDS))
"""200 sentences."""
