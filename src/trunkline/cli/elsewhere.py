"""Commands of Pachyderm that there are none of here, with what to do instead."""

_NOT_YET = "; Pachyderm's command of this name is not supported yet"
_NO_CLUSTER = "; nothing has to be deployed: any command starts the local server"

# first word, or verb and noun → what follows "there is no command '…'", or "extract what? …"
_INSTEAD: dict[str, str] = {
    **dict.fromkeys(
        (f"deploy {where}" for where in ("local", "google", "amazon", "microsoft", "custom")),
        "; use `deploy kubernetes` for a cluster, and nothing on one machine",
    ),
    "undeploy": _NO_CLUSTER,
    "port-forward": "; a local server needs none, and `connect ADDRESS` uses a remote one",
    "extract": "; `backup` copies everything there is",
    "inspect cluster": "; use `status`",
    "check status": "; use `status`",
    "debug dump": "; use `doctor`, and `debug datum` for one datum",
    "restart cluster": "; a local server has none: any command starts it, `down` ends it",
    "update-dash": "; there is no dashboard yet, so nothing to update",
    "buildinfo": "; use `version`",
    "find commit": "; use `list commit` and `diff file`",
    "run pipeline": "; use `rerun pipeline`",
    "enterprise": "; everything is free",
    "license": "; everything is free",
    **dict.fromkeys(
        (
            *("auth", "idp", "mount", "unmount", "shell"),
            *("draw pipeline", "get object", "get tag"),
        ),
        _NOT_YET,
    ),
}


def lacking(typed: str) -> str:
    """What to say behind "there is no command", for those who know it from Pachyderm."""
    forms = [typed, typed.removesuffix("s")] if " " in typed else [typed]
    found = (_INSTEAD.get(w) or _INSTEAD.get(w.replace("-", " ")) for w in forms)
    return next((hint for hint in found if hint), "")
