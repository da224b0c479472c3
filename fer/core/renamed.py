"""Names of earlier versions, which scripts, run folders and model files may still hold, and their present ones."""

# Recipes and networks.
NAMES = {
    "vgg-tuned": "vgg-finetune",
    "vgg-light": "vgg-cooldown",
    "vgg-taught": "vgg-distill",
    "rgb": "four-block-rgb",
    "eight-emotions": "four-block-wide",
}
# Fields of a recipe; each is a flag of train.py as well.
FIELDS = {"growth": "progressive_sizes", "average_twins": "average_duplicates"}


def current_name(name: str) -> str:
    """The present name of a recipe or a network; a name that never changed comes back as it is."""
    return NAMES.get(name, name)
