"""ImageNet weights come from torchvision's loader, against a server of our own on 127.0.0.1."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torchvision

from twinrun.errors import InputError
from twinrun.networks.family import Features
from twinrun.networks.torchvision_family import TorchvisionFamily
from twinrun.networks.torchvision_models import fetch_imagenet, imagenet_model


class Server:
    """Hands out `answers`: a path's status and bytes; counts the requests."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.requests = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests += 1
                status, content = server.answers.get(self.path, (404, b""))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Keep quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}{path}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever)
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture(scope="module")
def weights_file() -> bytes:
    """A small file of resnet18's weights: each tensor is one value, stretched to its shape."""
    state = torchvision.models.resnet18(weights=None).state_dict()
    small = {
        name: torch.full((), 0.5, dtype=tensor.dtype).expand(tensor.shape)
        for name, tensor in state.items()
    }
    file = io.BytesIO()
    torch.save(small, file)
    return file.getvalue()


@pytest.fixture
def published(
    server: Server, weights_file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Let torchvision look for resnet18 on our server; where it keeps the file on this machine."""
    digest = hashlib.sha256(weights_file).hexdigest()
    path = f"/models/resnet18-{digest[:8]}.pth"
    server.answers[path] = (200, weights_file)
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    elsewhere = dataclasses.replace(entry.value, url=server.url(path))
    monkeypatch.setattr(entry, "_value_", elsewhere)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints" / Path(path).name


def test_weights_are_fetched_once_and_fill_the_model(server: Server, published: Path) -> None:
    for _ in range(2):
        model = imagenet_model("resnet18")
    assert server.requests == 1
    assert published.is_file()
    assert all(torch.all(values == 0.5) for values in model.parameters())


def test_a_wrong_file_from_the_server_is_refused_and_not_kept(
    server: Server, published: Path
) -> None:
    server.answers = dict.fromkeys(server.answers, (200, b"something else"))
    with pytest.raises(InputError, match="invalid hash value") as refused:
        fetch_imagenet("resnet18")
    assert not published.exists()
    assert refused.value.exit_code == 2


def test_when_the_server_fails_the_message_says_which_file_to_put_where(
    server: Server, published: Path
) -> None:
    server.answers = dict.fromkeys(server.answers, (503, b""))
    with pytest.raises(InputError) as refused:
        fetch_imagenet("resnet18")
    message = str(refused.value)
    assert "resnet18" in message
    assert "503" in message
    assert str(published) in message
    assert server.url("/models/") in message
    assert "pretrained = false" in message


def test_when_nothing_answers_the_message_is_the_same(server: Server, published: Path) -> None:
    server.http.server_close()
    with pytest.raises(InputError, match="Put the file"):
        fetch_imagenet("resnet18")


def test_a_file_put_there_by_hand_is_used(
    server: Server, published: Path, weights_file: bytes
) -> None:
    published.parent.mkdir(parents=True)
    published.write_bytes(weights_file)
    fetch_imagenet("resnet18")
    assert server.requests == 0


def test_a_damaged_file_on_this_machine_is_noticed(published: Path, weights_file: bytes) -> None:
    published.parent.mkdir(parents=True)
    published.write_bytes(weights_file[:-1])
    with pytest.raises(InputError, match="damaged or a different file"):
        fetch_imagenet("resnet18")


@pytest.mark.parametrize("network", TorchvisionFamily.forms)
def test_the_channels_that_are_written_down_are_those_that_the_classifier_takes(
    network: str,
) -> None:
    with torch.device("meta"):
        model = torchvision.models.get_model(network, weights=None)
    classifier = model.fc if hasattr(model, "fc") else model.classifier
    assert TorchvisionFamily().features(network, 32) == Features(classifier.in_features, False)
