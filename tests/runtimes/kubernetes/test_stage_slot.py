"""A slot that orders objects: what it collects of one, beside what was handed in."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cluster_model import ClusterModel

from trunkline.config import load
from trunkline.jobs.stages import server_fetcher
from trunkline.runtimes.base import Command
from trunkline.runtimes.kubernetes.holdings import Holdings
from trunkline.runtimes.kubernetes.objects import ClusterObjects
from trunkline.runtimes.kubernetes.stage_slot import Order, StageSlot

DONE = {"phase": "Succeeded", "result": {"url": "http://iris", "size": 3}}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a directory with a file."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "model").write_bytes(b"weights")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path / "web")) as one:
        threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{one.server_address[1]}"
        one.shutdown()


@pytest.mark.parametrize("allowed", [True, False])
def test_output_is_read_out_of_the_status_and_fetched_where_the_server_may(
    tmp_path: Path, web: str, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    manifest = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "w", "namespace": "ml"},
    }
    order = Order(
        manifest=manifest,
        key="k",
        pipeline="p",
        job="j",
        datum="d",
        stays=False,
        success=["status.phase == Succeeded"],
        failure=[],
        outputs=[
            {"path": "at/url", "status": "status.result.url", "url": ""},
            {"path": "result.json", "status": "status.result", "url": ""},
            {"path": "model", "status": "", "url": f"{web}/model"},
        ],
    )
    config = replace(load(os.environ, home=tmp_path), fetch_allow="127.0.0.1" if allowed else "")
    with ClusterModel() as model:
        monkeypatch.setenv("KUBECONFIG", str(model.kubeconfig(tmp_path)))
        model.kinds.add("workflows.argoproj.io")
        slot = StageSlot(
            tmp_path / "scratch",
            holdings=Holdings(tmp_path, None),
            open_api=lambda: ClusterObjects("ml"),
            fetcher=lambda: server_fetcher(config),
        )
        slot.stage(0)

        def act() -> None:
            if "workflows.argoproj.io/w" in model.objects:
                model.say("workflows.argoproj.io/w", **DONE)

        report = slot.run(
            Command(argv=(), stdin=order.to_bytes()),
            on_output=lambda *_: None,
            cancelled=lambda: False,
            tick=act,
        )
        found = {p.relative_to(slot.out).as_posix(): p.read_text() for p in files_below(slot.out)}
        slot.close()
        left = dict(model.objects)

    if allowed:
        result = '{"size": 3, "url": "http://iris"}'
        assert found == {"at/url": "http://iris", "result.json": result, "model": "weights"}
    else:
        assert found == {}
        assert "its output can't be collected: " in report.reason
        assert "TRUNKLINE_FETCH_ALLOW" in report.reason
    assert left == {}


def files_below(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file()]
