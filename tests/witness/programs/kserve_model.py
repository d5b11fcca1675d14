"""KServe's model server with a model that doubles what it gets: kserve_model.py --http_port PORT."""

# mypy: ignore-errors

import argparse

import uvicorn
from kserve import InferOutput, InferResponse, Model, ModelServer, model_server


class Double(Model):
    def __init__(self, name):
        super().__init__(name)
        self.ready = True

    def load(self):
        return True

    async def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, dict):
            return {"predictions": [[2 * number for number in row] for row in payload["instances"]]}
        outputs = []
        for given in payload.inputs:
            doubled = 2 * given.as_numpy()
            output = InferOutput("output0", list(doubled.shape), given.datatype)
            output.set_data_from_numpy(doubled, binary_data=False)
            outputs.append(output)
        return InferResponse(payload.id or "", self.name, outputs)


class Loopback(uvicorn.Config):
    """The server asks for every interface; this one is for tests."""

    def __init__(self, *args, **options):
        super().__init__(*args, **{**options, "host": "127.0.0.1"})


uvicorn.Config = Loopback
arguments, _ = argparse.ArgumentParser(parents=[model_server.parser]).parse_known_args()
ModelServer().start([Double("double")])
