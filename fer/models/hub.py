"""Models on the Hugging Face Hub and on Kaggle: downloaded into their caches, and uploaded to the Hub.

    hf:OWNER/NAME[@REVISION][/FILE]
    kaggle:OWNER/MODEL/FRAMEWORK/VARIATION[/VERSION][/FILE]

A downloaded file is loaded like any other: it must carry its labels, and no code inside it runs.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer.core.errors import FerError

SUFFIXES = (".keras", ".tflite", ".onnx")  # in the order of preference
ANSWER = 10.0  # seconds for the Hub to answer, before the cache is asked
_REVISION = r"refs/pr/\d+|refs/convert/[\w.-]+|[\w.-]+"  # a pull request, a converted branch, a branch, tag or commit
_HF = re.compile(rf"hf:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>{_REVISION}))?(/(?P<file>[^@]+))?")
_KAGGLE = re.compile(r"kaggle:(?P<name>[\w-]+/[\w-]+/[\w-]+/[\w.-]+(/\d+)?)(/(?P<file>.+\.\w+))?")

# https://huggingface.co/docs/hub/model-cards
_METADATA = """\
---
{library}license: other
pipeline_tag: image-classification
tags:
- facial-expression-recognition{tag}
---
"""


def is_address(model: str | Path) -> bool:
    """True for an address of the Hub or of Kaggle."""
    return str(model).startswith(("hf:", "kaggle:"))


def download(address: str) -> Path:
    """Downloads a model. What the cache holds is not transferred again; without a network, "hf:" takes it as it is.

    Args:
        address: "hf:..." or "kaggle:...".

    Returns:
        The model file in the cache.

    Raises:
        FerError: a malformed address, a package that is not installed, no such model, or several files to choose from.
    """
    if found := _HF.fullmatch(address):
        return _download_hf(address, found["name"], found["revision"], found["file"])
    if found := _KAGGLE.fullmatch(address):
        return _download_kaggle(address, found["name"], found["file"])
    expected = "hf:OWNER/NAME[@REVISION][/FILE] or kaggle:OWNER/MODEL/FRAMEWORK/VARIATION[/VERSION][/FILE]"
    raise FerError(f"{address}: expected {expected}")


def check_upload(address: str) -> None:
    """Refuses what `upload` cannot do, before there is a file to upload.

    Raises:
        FerError: a malformed address, or a package that is not installed.
    """
    found = _HF.fullmatch(address)
    if not found or found["revision"] or found["file"]:
        raise FerError(f"{address}: expected hf:OWNER/NAME")
    _import_hub(address)


def upload(
    path: str | Path, address: str, card: str | None = None, *, public: bool = False, overwrite: bool = False
) -> str:
    """Uploads a model file to the Hub, and its card as the README of the repository (`as_readme`).

    The repository is created if need be; one that is there stays as visible as it is. The token is that of
    `hf auth login` or of the variable HF_TOKEN.

    Args:
        path: the model file.
        address: "hf:OWNER/NAME".
        card: Markdown; None for none.
        public: create a repository that everybody sees; otherwise only its owner does.
        overwrite: files of the same names may be replaced.

    Returns:
        The address of the page that shows it.

    Raises:
        FerError: as `check_upload`, an upload that fails, or a file that would be replaced.
    """
    check_upload(address)
    path, name = Path(path), address.removeprefix("hf:")
    if not path.is_file():
        raise FerError(f"{path}: only a single file is uploaded")
    hub = _import_hub(address)
    added = [hub.CommitOperationAdd(path.name, str(path))]
    if card is not None:
        added.append(hub.CommitOperationAdd("README.md", as_readme(card, path.suffix).encode()))
    with _failures(address):
        page = hub.HfApi().create_repo(name, private=not public, exist_ok=True)
        before = hub.HfApi().model_info(name, timeout=ANSWER)
        held = {file.rfilename for file in before.siblings or ()}
        if (taken := [file.path_in_repo for file in added if file.path_in_repo in held]) and not overwrite:
            raise FerError(f"{address}: it has {' and '.join(taken)}; --overwrite replaces what is there")
        # Nothing that somebody else uploads in between is replaced.
        hub.HfApi().create_commit(name, added, commit_message=f"Upload {path.name}", parent_commit=before.sha)
    return str(page)


def as_readme(card: str, suffix: str = ".keras") -> str:
    """A card as the README of a repository: with the Hub's metadata, without links to files that it does not hold.

    Args:
        card: Markdown.
        suffix: of the model file: the Hub shows how Keras loads a model, which holds for a .keras file alone.
    """
    text = re.sub(r"!\[[^\]]*\]\((?![a-z]+:)[^)]*\)", "", card)
    text = re.sub(r"(?<!!)\[([^\]]+)\]\((?![a-z]+:|#)[^)]*\)", r"\1", text)
    if text.startswith("---\n"):
        return text
    kind = {".keras": "keras", ".tflite": "tflite"}.get(suffix, "onnx")
    library, tag = ("library_name: keras\n", "") if kind == "keras" else ("", f"\n- {kind}")
    return f"{_METADATA.format(library=library, tag=tag)}\n{text}"


def _download_hf(address: str, name: str, revision: str | None, file: str | None) -> Path:
    hub = _import_hub(address)
    with _failures(address):
        if file is None:
            file = _choose(address, _list_hf(hub, name, revision))
        return Path(hub.hf_hub_download(name, file, revision=revision))


def _list_hf(hub, name: str, revision: str | None) -> list[str]:
    """The files of a repository, by the Hub; or where it cannot be reached, those in the cache."""
    try:
        # Not `list_repo_files`, which tries for 23 seconds to reach the Hub.
        siblings = hub.HfApi().model_info(name, revision=revision, timeout=ANSWER).siblings
        return [file.rfilename for file in siblings or ()]
    except hub.errors.HfHubHTTPError:
        raise  # the Hub has answered
    except Exception as unreachable:  # the exceptions of an HTTP library
        try:
            folder = Path(hub.snapshot_download(name, revision=revision, local_files_only=True))
        except hub.errors.LocalEntryNotFoundError:
            raise unreachable from None
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _import_hub(address: str):
    try:
        import huggingface_hub
    except ImportError as error:
        raise FerError(f"{address}: the Hugging Face Hub needs a package: pip install huggingface_hub") from error
    return huggingface_hub


@contextmanager
def _failures(address: str) -> Iterator[None]:
    """Turns what a client raises into a FerError: no such model, no permission, no connection, a full disk."""
    try:
        yield
    except FerError:
        raise
    except Exception as error:  # the clients pass on the exceptions of their HTTP libraries
        raise FerError(f"{address}: {' '.join(str(error).split()) or type(error).__name__}") from error


def _download_kaggle(address: str, name: str, file: str | None) -> Path:
    try:
        import kagglehub
    except ImportError as error:
        raise FerError(f"{address}: Kaggle needs a package: pip install kagglehub") from error
    with _failures(address):
        folder = Path(kagglehub.model_download(name))
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    if file is not None and file not in names:
        raise FerError(f"{address}: it has no such file, only {', '.join(sorted(names))}")
    return folder / (file or _choose(address, names))


def _choose(address: str, names: list[str]) -> str:
    """The only model file, of the most preferred kind."""
    for suffix in SUFFIXES:
        if found := sorted(name for name in names if name.endswith(suffix)):
            if len(found) > 1:
                raise FerError(f"{address}: it has several models, choose one: {address}/{f', {address}/'.join(found)}")
            return found[0]
    raise FerError(f"{address}: it has no model file ({', '.join(SUFFIXES)})")
