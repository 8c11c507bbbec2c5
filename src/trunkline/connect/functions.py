"""Pipelines that are Python functions: `@trunkline.pipeline` makes an ordinary spec of one.

The function stays what it was: calling it is an ordinary call. `spec()` is what a server is given,
together with the code: the file of its module, its package, a directory, or its notebook cell. The
process that runs it there imports this module too, so it needs nothing but Python.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from trunkline.connect import inputs
from trunkline.connect.parameters import OUT, Datum, arguments_for, files_below, parameters_of
from trunkline.errors import InvalidInput
from trunkline.runtimes.asking import FUNCTION_COMMAND

if TYPE_CHECKING:
    from trunkline.api.changes import FileChange

P = ParamSpec("P")
R = TypeVar("R")

_CODE = "/code"
_CELL = "notebook"  # the module that a notebook cell becomes


class PipelineFunction(Generic[P, R]):
    """A function that is a pipeline too. Made by `@trunkline.pipeline`."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        input: Mapping[str, object],  # noqa: A002 (the spec's word)
        name: str,
        code: str | Path | None,
        transform: Mapping[str, object],
        fields: Mapping[str, object],
    ) -> None:
        self.function = function
        self._input = dict(input)
        self._parameters = parameters_of(function, inputs.names(self._input))
        self.name = name or function.__name__
        self._code = code
        self._transform = dict(transform)
        self._fields = dict(fields)
        for word in ("__module__", "__name__", "__qualname__", "__doc__", "__wrapped__"):
            setattr(self, word, function if word == "__wrapped__" else getattr(function, word))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<pipeline function {self.name}>"

    def spec(self) -> dict[str, object]:
        """The pipeline spec: what `create_pipeline` sends beside the code."""
        project, _, name = self.name.rpartition("/")
        target = f"{self._source().module}:{self.function.__name__}"
        pipeline: dict[str, object] = {"name": name}
        if project:
            pipeline["project"] = {"name": project}
        found: dict[str, object] = {"pipeline": pipeline}
        if self.function.__doc__:
            found["description"] = self.function.__doc__.strip().partition("\n")[0]
        found["transform"] = {
            "cmd": [*FUNCTION_COMMAND, _CODE, target],
            "datum_batching": True,
            **self._transform,
        }
        return {**found, "input": self._input, **self._fields}

    def code_changes(self) -> "list[FileChange]":
        """The code of the function as files of /code; raises InvalidInput, LocalFileNotFound."""
        return self._source().changes()

    def run_local(self, directory: "str | Path", out: "str | Path | None" = None) -> Path:
        """Call the function for each datum of local files, here and now; where its output is.

        The directory holds one directory for each input, under its name; if there is one input, it
        may be that of the input itself. Outputs come together in `out` (without it, in a directory
        made for them), as they do in a commit. Nothing is remembered, and a debugger works.
        """
        from trunkline.connect.local_run import run_local

        def call(datum: Datum) -> None:
            function: Callable[..., object] = self.function
            function(**arguments_for(self._parameters, datum))

        return run_local(self.spec(), call, Path(directory), None if out is None else Path(out))

    def arguments(self, told: Mapping[str, str], pfs: Path) -> dict[str, object]:
        """What the function is called with for a datum, by its variables and its directory."""
        datum = Datum(
            id=told.get("TRUNKLINE_DATUM_ID", ""),
            job=told.get("TRUNKLINE_JOB_ID", ""),
            out=pfs / OUT,
            given={name: Path(told[name]) for name in inputs.names(self._input) if name in told},
            below=lambda name: files_below(pfs / name),
        )
        return arguments_for(self._parameters, datum)

    def _source(self) -> "_Source":
        return _source(self.function, self._code)


def pipeline(
    *,
    input: Mapping[str, object],  # noqa: A002 (the spec's word)
    name: str = "",
    workers: int | None = None,
    requirements: str | Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    code: str | Path | None = None,
    transform: Mapping[str, object] | None = None,
    **fields: object,
) -> Callable[[Callable[P, R]], PipelineFunction[P, R]]:
    """Make a function a pipeline, which `connection.create_pipeline(function)` deploys.

        @trunkline.pipeline(input=trunkline.pfs("numbers", "/*"))
        def double(numbers: Path, out: Path) -> None:
            (out / numbers.name).write_text(str(2 * int(numbers.read_text())))

    A parameter with the name of an input receives what that gave to the datum: `Path`, or
    `list[Path]` for all its files. `out: Path` is the directory for output, `datum: Datum` all of
    it. The code is the file of the function's module, or its whole package; `code` names a
    directory instead (relative to that file). `requirements` are packages, as a requirements file
    has them. Other fields of specs are taken as they are. Raises InvalidInput.
    """
    into = dict(transform or {})
    if env:
        into["env"] = dict(env)
    if requirements:
        words = [requirements] if isinstance(requirements, str) else requirements
        into["requirements"] = "\n".join(words)
    if workers is not None:
        fields = {"parallelism_spec": {"constant": workers}, **fields}

    def make(function: Callable[P, R]) -> PipelineFunction[P, R]:
        return PipelineFunction(
            function, input=input, name=name, code=code, transform=into, fields=fields
        )

    return make


# --- its code -------------------------------------------------------------------------------------


class _Source:
    """Where the code of a function is: files, each with its path in /code, or a text."""

    def __init__(
        self, module: str, *, place: Path | None = None, prefix: str = "", text: str = ""
    ) -> None:
        self.module = module
        self._place = place
        self._prefix = prefix
        self._text = text

    def changes(self) -> "list[FileChange]":
        from trunkline.api.changes import PutFile
        from trunkline.client.local_files import put_local
        from trunkline.connect.code import code_changes

        if self._place is None:
            return [PutFile(path=f"{self.module}.py", content=[self._text.encode("utf-8")])]
        if self._place.is_dir():
            return code_changes(self._place, prefix=self._prefix)
        return [put_local(self._place.name, self._place)]


def _source(function: Callable[..., object], code: str | Path | None) -> _Source:
    """Raises InvalidInput for a function that no other process could import."""
    where = f"the pipeline function '{function.__name__}'"
    module: Any = sys.modules.get(function.__module__)
    named = module.__spec__.name if getattr(module, "__spec__", None) else function.__module__
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).exists():
        if function.__module__ == "__main__" and code is None:
            return _cell(function, where)
        raise InvalidInput(f"{where} is in the module '{named}', which is no file")
    path = Path(file).resolve()
    if path.suffix != ".py":
        raise InvalidInput(f"{where} is in {path.name}, which is no Python source file")
    if code is not None:
        return _in_directory(path, (path.parent / code).resolve(), where)
    if "." in named:
        top = named.partition(".")[0]
        root = next(iter(sys.modules[top].__path__))
        return _Source(named, place=Path(root), prefix=f"{top}/")
    if hasattr(module, "__path__"):
        return _Source(named, place=path.parent, prefix=f"{named}/")
    if "." in path.stem:
        raise InvalidInput(f"{where} is in {path.name}, which can't be imported; remove the dot")
    return _Source(path.stem, place=path)


def _in_directory(path: Path, directory: Path, where: str) -> _Source:
    if not path.is_relative_to(directory):
        raise InvalidInput(
            f"{where} is in {path}, which is not in its `code` directory {directory}"
        )
    parts = path.relative_to(directory).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
    return _Source(module, place=directory)


def _cell(function: Callable[..., object], where: str) -> _Source:
    """The whole cell of a notebook, which is a module of its own then."""
    import linecache

    lines = linecache.getlines(function.__code__.co_filename)
    if not lines:
        raise InvalidInput(
            f"{where} was typed into an interpreter that keeps no source; write it into a file"
        )
    return _Source(_CELL, text="".join(line for line in lines if not line.startswith(("%", "!"))))
