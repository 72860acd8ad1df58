"""Score payments: {"data": [[six finite numbers], ...]}, 1 to 1,000 rows; all else is answered 400 with reasons."""

import os
from typing import Annotated, Any

import joblib
import numpy as np
from azureml_inference_server_http.api.aml_response import AMLResponse
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

FEATURES = 6
MAX_ROWS = 1000
MOST_REASONS = 10

Row = Annotated[list[FiniteFloat], Field(min_length=FEATURES, max_length=FEATURES)]


class Request(BaseModel):
    # A mistyped key is an error of the caller, not something to pass over.
    model_config = ConfigDict(extra="forbid")

    data: list[Row] = Field(min_length=1, max_length=MAX_ROWS)


def init() -> None:
    global model
    # A model registered from a folder keeps that folder's name.
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "model.pkl"))


def run(raw_data: str) -> dict[str, Any] | AMLResponse:
    try:
        request = Request.model_validate_json(raw_data)
    except ValidationError as error:
        return AMLResponse({"error": explain(error)}, 400, json_str=True)
    probability = model.predict_proba(np.asarray(request.data))
    return {"prediction": probability.argmax(axis=1).tolist(), "probability": probability.tolist()}


def explain(error: ValidationError) -> list[str]:
    # Without the input: an answer may be logged by who called, and the input is customers' data.
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    return [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in errors[:MOST_REASONS]]
