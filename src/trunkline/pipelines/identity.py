"""Identity of work: when two datums are the same, so that one's result may stand for the other's.

The one place that decides it. Two hashes:

* the **salt** of a pipeline version covers all that can change what its code computes: the object
  that a cluster makes and what is taken of it, image (by
  its content where containers run it, else by its name), cmd,
  stdin, err_cmd, err_stdin, env, user, working_dir, accepted codes, the digest of `/code`, which
  inputs are given as empty files, incremental, the spec's own `salt` and a nonce. Not parallelism,
  resources, timeouts, tries, description, datum_batching; and not output_merge, which says how
  outputs are put together, not what a datum's output is;
* the **key** of a datum covers the pipeline's full name (so no two projects share results), per
  file its input's name, path, type and content digest, its keys in a join or group (the code is
  told them), and the salt; of a reference input, all but the digest. Not repo, branch, commit or
  time: equal content is equal work. Files are taken by name and path, so reordering a cross
  changes nothing.

Both are BLAKE3 over length-prefixed fields behind a versioned prefix: no two different lists of
fields have the same encoding. A field left at its default is left out of the salt, so that fields
added later do not change the salts there are.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict

from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines.datums import Datum
from trunkline.pipelines.inputs import empty_file_inputs
from trunkline.store.digests import Digest

_SALT_PREFIX = b"trunkline salt 1\n"
_KEY_PREFIX = b"trunkline datum 1\n"
_MATCHED_KEY_PREFIX = b"trunkline datum 2\n"  # of datums with files that have keys of their own
_PLACE_PREFIX = b"trunkline place 1\n"


def salt(
    spec: PipelineSpec,
    *,
    code: str,
    packages: tuple[str, ...] = (),
    image_id: str = "",
    nonce: str = "",
) -> str:
    """The salt (64 hex digits) of a spec; `code` is the root of its `/code`, or empty, `packages`
    are its Python packages with the versions that are locked, `image_id` is that of the image that
    it runs in, or empty where no container is started.

    Another `nonce` gives another salt, so that nothing remembered fits any more.
    """
    words = salted_parts(spec, code=code, packages=packages, image_id=image_id, nonce=nonce)
    fields: list[str] = []
    for name in sorted(words):
        fields += [name, str(len(words[name])), *words[name]]
    return _digest(_SALT_PREFIX, fields)


def salted_parts(
    spec: PipelineSpec,
    *,
    code: str,
    packages: tuple[str, ...] = (),
    image_id: str = "",
    nonce: str = "",
) -> dict[str, tuple[str, ...]]:
    """What a salt covers, by the names of its parts; empty ones are left out."""
    transform = spec.transform
    words: dict[str, tuple[str, ...]] = {
        name: (value,) for name, value in _single(spec, code, image_id, nonce).items() if value
    }
    words |= {
        "cmd": transform.cmd,
        "stdin": transform.stdin,
        "err_cmd": transform.err_cmd,
        "err_stdin": transform.err_stdin,
        "env": tuple(word for pair in sorted(transform.env.items()) for word in pair),
        "empty_files": empty_file_inputs(spec.input),
        "packages": packages,
        # Not what is in them: a password that is changed gives no other results.
        "secrets": tuple(
            word
            for use in transform.secrets
            for word in (use.name, use.key, use.mount_path, use.env_var)
        ),
        "accept_return_code": tuple(str(c) for c in sorted(set(transform.accept_return_code))),
    }
    return {name: found for name, found in words.items() if found}


def _single(spec: PipelineSpec, code: str, image_id: str, nonce: str) -> dict[str, str]:
    return {
        # What a container has in it, whatever it is called; else the name stands for what the
        # user has seen to on the machine itself.
        "image": image_id or spec.transform.image,
        "user": spec.transform.user,
        "working_dir": spec.transform.working_dir,
        "network": "" if spec.transform.network == "none" else spec.transform.network,
        "code": code,
        "incremental": "true" if spec.incremental else "",
        "kubernetes": "" if spec.stage is None else json.dumps(asdict(spec.stage), sort_keys=True),
        "salt": str(spec.document.get("salt") or ""),
        "nonce": nonce,
    }


def datum_key(pipeline: str, datum: Datum, salt: str) -> str:
    """The identity (64 hex digits) of a datum in a pipeline with this salt.

    Never change what it covers without a new prefix: every remembered result hangs on it.
    """
    matched = any(file.join_on is not None or file.group_by is not None for file in datum.files)
    fields = [pipeline, salt]
    for file in datum.by_name():
        assert file.digest or file.reference, f"input {file.name} of a datum has no content digest"
        fields += [file.name, file.path, file.type.value, file.digest]
        if matched:
            fields += [*_optional(file.join_on), *_optional(file.group_by)]
    return _digest(_MATCHED_KEY_PREFIX if matched else _KEY_PREFIX, fields)


def datum_place(pipeline: str, datum: Datum, salt: str) -> str:
    """What a datum has in common with the one that the same paths made, whatever they contained."""
    fields = [pipeline, salt]
    for file in sorted(datum.files, key=lambda file: (file.name, file.path)):
        fields += [file.name, file.path, *_optional(file.join_on), *_optional(file.group_by)]
    return _digest(_PLACE_PREFIX, fields)


def _optional(key: str | None) -> tuple[str, str]:
    return ("0", "") if key is None else ("1", key)


def _digest(prefix: bytes, fields: Iterable[str]) -> str:
    pieces = [prefix]
    for field in fields:
        encoded = field.encode("utf-8")
        pieces += [len(encoded).to_bytes(8, "big"), encoded]
    return Digest(b"".join(pieces)).hexdigest()
