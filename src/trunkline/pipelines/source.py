"""Text to documents: chooses between JSON and YAML, bounds the size, words what is wrong."""

from collections.abc import Iterator

from trunkline.errors import InvalidSpec
from trunkline.pipelines.nodes import Fault, Kind, ListNode, Node, Scalar, invalid_spec
from trunkline.pipelines.source_json import read_json
from trunkline.pipelines.source_yaml import read_yaml


def check_size(text: str, *, source: str, bytes_max: int) -> str:
    """The text without a byte order mark; raises InvalidSpec if it is too long or not UTF-8."""
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise invalid_spec(source, text, "this is not valid UTF-8", error.start) from error
    if size > bytes_max:
        raise InvalidSpec(
            f"{source} has {size:,} bytes, more than the {bytes_max:,} that a pipeline spec may "
            "have; put data into a repo and code into `transform.code`"
        )
    return text.removeprefix("\ufeff")


def read_documents(text: str, *, source: str) -> Iterator[Node]:
    """Each document of the text; a list of documents at the top counts as its members.

    Text is YAML if the name of its source ends so, else JSON if it begins with a bracket, else
    YAML. Raises Fault.
    """
    name = source.lower()
    if name.endswith((".yaml", ".yml")):
        documents = read_yaml(text)
    elif name.endswith(".json") or text.lstrip()[:1] in ("{", "["):
        documents = read_json(text)
    else:
        documents = read_yaml(text)
    found = False
    for document in documents:
        members = document.items if isinstance(document, ListNode) else (document,)
        for member in members:
            if isinstance(member, Scalar) and member.kind is Kind.NULL:
                continue
            found = True
            yield member
    if not found:
        raise Fault("there is no pipeline spec in it")
