"""One canonical name for every emotion, whatever a data set calls it."""

import pytest

from fer.core.labels import FER2013, canonical
from fer.data.fer2013_csv import EMOTIONS


@pytest.mark.parametrize(
    ("name", "words"),
    {
        "angry": ["anger", "Angry", "mad"],
        "disgust": ["disgusted", "DISGUST"],
        "fear": ["fearful", "afraid", "scared"],
        "happy": ["happiness", "Happiness ", "joy"],
        "sad": ["sadness", " Sad"],
        "surprise": ["surprised", "Surprise"],
        "neutral": ["neutrality", "Neutral\n"],
        "contempt": ["contemptuous", "Contempt"],
    }.items(),
)
def test_synonyms_have_one_name(name, words):
    assert {canonical(word) for word in [name, *words]} == {name}


def test_an_unknown_word_stays_itself():
    assert canonical(" Boredom ") == "boredom"


def test_accents_spelled_in_one_or_in_two_characters_are_the_same_label():
    assert canonical("gene\u0301") == canonical("gen\u00e9") == "gen\u00e9"


def test_codes_of_fer2013_are_canonical_and_in_the_official_order():
    assert FER2013 == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert tuple(map(canonical, FER2013)) == FER2013


def test_fer_plus_knows_the_seven_emotions_and_contempt():
    assert {canonical(name) for name in EMOTIONS} == {*FER2013, "contempt"}


def test_numbers_around_a_word_are_no_part_of_it():
    for word in ("0_happy", "0_1_happy", "01-02 happy", "2.1 Happy", "happy_48_48", "happy 1-2", "3 - happy"):
        assert canonical(word) == "happy"
