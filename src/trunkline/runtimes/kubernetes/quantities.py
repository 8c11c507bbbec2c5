"""What Kubernetes takes for a name, a label and an amount; checked before it is sent there."""

import re

from trunkline.errors import InvalidInput, shown

Manifest = dict[str, object]

LABEL_LENGTH_MAX = 63  # of a DNS label: names of namespaces, services, pods that have host names
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,3})?([KMGTPE]i|[kMGTPE])?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_RESOURCE = re.compile(r"[a-z][a-z0-9]{0,62}\.[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def check_label(what: str, name: str) -> str:
    """The name, if it can be that of a namespace or service; `what` is for the sentence."""
    if len(name) > LABEL_LENGTH_MAX or not _LABEL.fullmatch(name):
        raise InvalidInput(
            f"{shown(name)} is no name for {what} on Kubernetes; use at most {LABEL_LENGTH_MAX} "
            "small letters, digits and '-'"
        )
    return name


def check_object_name(what: str, name: str) -> str:
    """The name, if it can be that of a secret, a class of storage or of priority."""
    if len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        raise InvalidInput(
            f"{shown(name)} is no name for {what} on Kubernetes; use small letters, digits, '-' "
            "and '.'"
        )
    return name


def check_amount(what: str, text: str) -> str:
    """The text, if it is an amount of bytes as Kubernetes writes them."""
    if not _QUANTITY.fullmatch(text) or not text.strip("0.KMGTPEik"):
        raise InvalidInput(f"{shown(text)} is no {what}; write an amount such as 50Gi")
    return text


def check_image(name: str) -> str:
    """The name, if an image can be called so."""
    if not _IMAGE.fullmatch(name):
        raise InvalidInput(f"{shown(name)} is no name of an image; write name:tag or name@digest")
    return name


def check_host(name: str) -> str:
    """The name, if a host can be called so."""
    if not _HOST.fullmatch(name):
        raise InvalidInput(f"{shown(name)} is no name of a host")
    return name


def check_resource(name: str) -> None:
    """Raises InvalidInput for what is no kind of object as rules name it."""
    if not _RESOURCE.fullmatch(name):
        raise InvalidInput(
            f"{shown(name)} is no kind of object; write its plural and its group, such as "
            "pytorchjobs.kubeflow.org"
        )
