"""Invented patients: names, wards and findings drawn from short lists, the same for every seed.

Nobody here exists. Diagnoses carry real ICD-10 codes, so that the pages read like pages of a ward.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from examples.clinic.wards import WARDS

_FAMILY: Final = (
    *("Abara", "Alvarez", "Bergmann", "Brandt", "Castell", "Chaudhry", "Dahl", "Duarte"),
    *("Eriksen", "Farkas", "Fontaine", "Gallo", "Haddad", "Hoffmann", "Ibsen", "Jansen"),
    *("Kaya", "Keller", "Kowalska", "Laurent", "Lindqvist", "Marchetti", "Moreau", "Nakata"),
    *("Novak", "Okonjo", "Petrov", "Quint", "Rossetti", "Sandoval", "Sörensen", "Tamm"),
    *("Thorne", "Ueda", "Vasquez", "Vogt", "Wiśniewski", "Yilmaz", "Zeller", "Ziegler"),
)
_GIVEN: Final = (
    *("Ada", "Amir", "Beatrix", "Carlos", "Dilara", "Edith", "Elias", "Farida", "Greta", "Hugo"),
    *("Ines", "Jonas", "Katarina", "Leo", "Malin", "Mateo", "Nadia", "Olga", "Paul", "Rafael"),
    *("Rosa", "Samir", "Selma", "Tomas", "Ursula", "Viktor", "Wanda", "Xaver", "Yara", "Zoë"),
)
_DIAGNOSES: Final = {
    "cardiology": (
        "I48.0 paroxysmal atrial fibrillation",
        "I21.4 non-ST elevation myocardial infarction",
        "I50.1 left ventricular heart failure",
        "I35.0 aortic valve stenosis",
        "I44.2 complete atrioventricular block",
        "I25.1 coronary artery disease",
        "I47.2 ventricular tachycardia",
        "I42.0 dilated cardiomyopathy",
    ),
    "surgery": (
        "K35.8 acute appendicitis",
        "K80.2 gallstones without inflammation",
        "K40.9 inguinal hernia",
        "S72.0 fracture of the femoral neck",
        "K57.3 diverticulosis of the colon",
        "C18.7 carcinoma of the sigmoid colon",
        "S82.6 fracture of the lateral malleolus",
        "E04.2 multinodular goitre",
    ),
}
_ALLERGIES: Final = (
    *("none known", "none known", "none known", "penicillin: rash", "penicillin: anaphylaxis"),
    *("iodinated contrast: urticaria", "latex: contact dermatitis", "ibuprofen: bronchospasm"),
    *("sulfonamides: rash", "nickel: contact dermatitis", "wasp venom: anaphylaxis"),
)
_NOTES: Final = {
    "cardiology": (
        "Anticoagulation started; echocardiogram tomorrow morning.",
        "Telemetry for another night. Potassium twice a day.",
        "Feels better, walks to the window. Diuretics halved.",
        "Angiography on Thursday; has signed the consent form.",
        "Asks for nobody to be told before the daughter has been.",
        "Pacemaker check done, thresholds stable.",
    ),
    "surgery": (
        "Second day after the operation, drain 40 ml, may drink.",
        "Wound dry. Physiotherapy from tomorrow.",
        "Fasting from midnight; first on the list.",
        "Pain 3 of 10 with the pump. Stairs with the physiotherapist.",
        "Pathology is expected on Friday; the talk is for the senior physician.",
        "Thrombosis prophylaxis explained, stockings fitted.",
    ),
}


@dataclass(frozen=True, slots=True)
class InventedPatient:
    """One patient as the demo enters it; the last three fields are the ones that are sealed."""

    name: str
    born: date
    ward: str
    bed: str
    admitted: date
    diagnosis: str
    allergies: str
    note: str


def invent(count: int, *, today: date, seed: int = 7) -> Iterator[InventedPatient]:
    """Yield ``count`` patients, alternating between the wards; at most 1,200 have unlike names."""
    chance = random.Random(seed)  # noqa: S311 - invented people need no secret randomness
    pairs = [(family, given) for family in _FAMILY for given in _GIVEN]
    names = chance.sample(pairs, count)
    for number, (family, given) in enumerate(names):
        ward = WARDS[number % len(WARDS)]
        place = number // len(WARDS)
        yield InventedPatient(
            name=f"{family}, {given}",
            born=date(1931, 1, 1) + timedelta(days=chance.randrange(27_000)),
            ward=ward,
            bed=f"{ward[0].upper()}{place // 4 + 1}-{'ABCD'[place % 4]}",
            admitted=today - timedelta(days=chance.randrange(14)),
            diagnosis=chance.choice(_DIAGNOSES[ward]),
            allergies=chance.choice(_ALLERGIES),
            note=chance.choice(_NOTES[ward]),
        )
