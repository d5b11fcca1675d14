"""Model servers: our requests and those of the SDKs of KServe, Triton and OpenVINO."""

# mypy: ignore-errors

from __future__ import annotations

import asyncio

import pytest

from asyncapi.backends.ovms import OVMS
from asyncapi.types.requests import InferRequest, NativeRequest
from asyncapi.types.tensors import Tensor

from .pairs import Pair

ROW = Tensor(datatype="FP32", shape=(1, 2), data=[1.0, 2.0])


def _row():
    return pytest.importorskip("numpy").array([[1, 2]], "float32")


async def kserve(url):
    """Tensors as JSON."""
    sdk = pytest.importorskip("kserve")
    tensor = sdk.InferInput("x", [1, 2], "FP32")
    tensor.set_data_from_numpy(_row(), binary_data=False)
    client = sdk.InferenceRESTClient(sdk.RESTConfig(protocol="v2", retries=0))
    try:
        request = sdk.InferRequest("m", [tensor], request_id="1")
        return await client.infer(url, request, model_name="m")
    finally:
        await client.close()


def triton(call):
    """A question through Triton's client."""

    async def ask(url):
        sdk = pytest.importorskip("tritonclient.http.aio")
        client = sdk.InferenceServerClient(url.removeprefix("http://"))
        try:
            return await call(client, sdk)
        finally:
            await client.close()

    return ask


def infer(client, sdk):
    """Tensors as bytes behind JSON."""
    tensor = sdk.InferInput("x", [1, 2], "FP32")
    tensor.set_data_from_numpy(_row(), binary_data=True)
    return client.infer("m", [tensor])


def look(name, model, call):
    """A question about the server or a model."""
    return Pair("ovms", name, NativeRequest(model=model, action=name), triton(call))


async def tensorflow_serving(url):
    """Columns, as TensorFlow Serving took them."""
    sdk = pytest.importorskip("ovmsclient")
    client = sdk.make_http_client(url.removeprefix("http://"))
    return await asyncio.to_thread(client.predict, {"x": _row()}, "m")


PAIRS = (
    Pair(
        "ovms",
        "infer as JSON",
        InferRequest(model="m", inputs={"x": ROW}),
        kserve,
        ("infer id",),
        OVMS(binary=False),
    ),
    Pair(
        "ovms",
        "infer in bytes",
        InferRequest(model="m", inputs={"x": ROW}),
        triton(infer),
        (),
        OVMS(binary=True),
    ),
    Pair(
        "ovms",
        "predict",
        NativeRequest(model="m", action="predict", arguments={"inputs": {"x": [[1.0, 2.0]]}}),
        tensorflow_serving,
        ("predict version",),
    ),
    look("live", "", lambda c, _: c.is_server_live()),
    look("ready", "", lambda c, _: c.is_server_ready()),
    look("server_metadata", "", lambda c, _: c.get_server_metadata()),
    look("metadata", "double", lambda c, _: c.get_model_metadata("double")),
    look("model_ready", "double", lambda c, _: c.is_model_ready("double")),
)
