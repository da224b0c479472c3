"""Names of emotions: one canonical name each, so that models and data sets with different words fit together."""

import re
import unicodedata

# Orders of codes and of networks' outputs. Where names are known, they are matched by name, never by position.
FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FERPLUS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")
AFFECTNET = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
ALPHABETICAL = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")

_SYNONYMS = {
    "angry": ("anger", "mad", "anrgy", "angery"),
    "disgust": ("disgusted", "disgusting", "digust", "disguist"),
    "fear": ("fearful", "afraid", "scared", "scare", "fears"),
    "happy": ("happiness", "joy", "joyful", "hapiness", "hapy", "happines"),
    "sad": ("sadness", "sadnes"),
    "surprise": ("surprised", "surprising", "suprise", "suprised", "surprize", "surpise", "surprice"),
    "neutral": ("neutrality", "netural", "nuetral", "neutal"),
    "contempt": ("contemptuous", "contempted", "comtempt"),
}
EMOTIONS = tuple(_SYNONYMS)
_CANONICAL = {word: name for name, words in _SYNONYMS.items() for word in (name, *words)}
_NUMBER = re.compile(r"^(\d+[\s._-]*)+|([\s._-]*\d+)+$")  # before or behind a word: "0_angry", "3 - sad"


def canonical(word: str) -> str:
    """The one name for an emotion: "Happiness " -> "happy", "0_suprise" -> "surprise".

    An unknown word comes back trimmed and in lower case.
    """
    word = unicodedata.normalize("NFC", word).strip().lower()  # macOS takes the accents of file names apart
    bare = _NUMBER.sub("", word).strip(" ._-")
    return _CANONICAL.get(word) or _CANONICAL.get(bare) or word


def is_emotion(word: str) -> bool:
    """True for a word whose canonical name is one of the eight emotions."""
    return canonical(word) in EMOTIONS


# The orders in which published networks give their outputs; the same seven or eight words, and nothing in the files
# that tells them apart.
ORDERS = {
    "FER2013's codes": FER2013,
    "alphabetical": tuple(name for name in ALPHABETICAL if name != "contempt"),
    "AffectNet's": AFFECTNET[:-1],
    "ResEmoteNet's": ("happy", "surprise", "sad", "angry", "disgust", "fear", "neutral"),
    "alphabetical, with contempt": ALPHABETICAL,
    "AffectNet's, with contempt": AFFECTNET,
    "FER+'s votes": FERPLUS,
}
