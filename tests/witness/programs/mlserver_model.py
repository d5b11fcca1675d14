"""A model for MLServer that doubles the numbers that it gets."""

# mypy: ignore-errors

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Double(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = []
        for given in payload.inputs:
            numbers = getattr(given.data, "root", given.data)
            doubled = [2 * number for number in numbers]
            outputs.append(
                ResponseOutput(name="output0", shape=list(given.shape), datatype=given.datatype, data=doubled)
            )
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)
