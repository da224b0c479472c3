"""Soft labels: the label of an image, mixed with what the votes of ten other people make likely."""

import numpy as np

from fer.core.errors import FerError

SHARE = 0.4  # of a target that the votes make likely
VOTE_MODES = ("shares", "majority", "mixed")  # see `fer.data.loading.load`


def mix(codes: np.ndarray, k: int, votes: np.ndarray, fitted: np.ndarray, share: float) -> np.ndarray:
    """Softens labels by votes that other people cast, on other words.

    Labels and votes disagree on a third of FER2013, so a hard label is often chance. Multinomial logistic regression on
    the training images estimates the label from the votes.

    Args:
        codes: int64 (n), labels 0..k-1.
        k: the number of labels.
        votes: float32 (n, m), as counted.
        fitted: bool (n), the training images: those the regression is fitted on, and whose targets are mixed.
        share: of a target that is what the votes make likely; below a half the label stays the likeliest.

    Returns:
        float32 (n, k), rows sum to 1; one-hot where not `fitted`.

    Raises:
        FerError: fewer than two labels among the training images.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    if len(np.unique(codes[fitted])) < 2:
        raise FerError("votes are mixed into labels only where the training rows have two labels or more")
    shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)
    model = LogisticRegression(C=10.0, max_iter=2000).fit(shares[fitted], codes[fitted])
    targets, likely = np.eye(k)[codes], np.zeros((fitted.sum(), k))
    likely[:, model.classes_] = model.predict_proba(shares[fitted])
    targets[fitted] = (1 - share) * targets[fitted] + share * likely
    return targets.astype(np.float32)
