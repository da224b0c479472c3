"""Names of emotions: one canonical name each, so that models and data sets with different words fit together."""

import unicodedata

# The codes of fer2013.csv, in order; everything else is matched by name, never by position.
FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

_SYNONYMS = {
    "angry": ("anger", "mad"),
    "disgust": ("disgusted", "disgusting"),
    "fear": ("fearful", "afraid", "scared"),
    "happy": ("happiness", "joy", "joyful"),
    "sad": ("sadness",),
    "surprise": ("surprised", "surprising"),
    "neutral": ("neutrality",),
    "contempt": ("contemptuous",),
}
_CANONICAL = {word: name for name, words in _SYNONYMS.items() for word in (name, *words)}


def canonical(word: str) -> str:
    """The one name for an emotion: "Happiness " -> "happy"; an unknown word comes back trimmed and in lower case."""
    word = unicodedata.normalize("NFC", word).strip().lower()  # macOS takes the accents of file names apart
    return _CANONICAL.get(word, word)


# The orders in which published networks give their outputs; the same seven or eight words, and nothing in the files
# that tells them apart.
ORDERS = {
    "FER2013's codes": FER2013,
    "alphabetical": ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    "AffectNet's": ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry"),
    "ResEmoteNet's": ("happy", "surprise", "sad", "angry", "disgust", "fear", "neutral"),
    "alphabetical, with contempt": ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    "AffectNet's, with contempt": ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"),
    "FER+'s votes": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt"),
}
