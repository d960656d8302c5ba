"""Text → intent, entities, FAQ, in Rasa's parse format; knows nobody else."""

from nlu.checking import Fault, check
from nlu.errors import DataError, ModelError, NluError
from nlu.evaluation import Report, evaluate
from nlu.interpreter import Interpreter
from nlu.model import Thresholds
from nlu.training import is_stale, train

__all__ = [
    "DataError",
    "Fault",
    "Interpreter",
    "ModelError",
    "NluError",
    "Report",
    "Thresholds",
    "check",
    "evaluate",
    "is_stale",
    "train",
]
