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
