"""What a worker is told of a version of a pipeline that has nothing particular."""

from dataclasses import fields

from trunkline.jobs.datum_run import Context


def plain_context() -> Context:
    given = {field.name: "" for field in fields(Context)} | {"version": 1, "env": {}}
    return Context(**given | {"image": None, "gpus": (), "stage": None})  # type: ignore[arg-type]
