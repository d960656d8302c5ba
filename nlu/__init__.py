"""Text → intent, entities, FAQ, in Rasa's parse format; knows nobody else."""

from nlu.errors import DataError, ModelError, NluError
from nlu.interpreter import Interpreter
from nlu.model import Thresholds
from nlu.training import is_stale, train

__all__ = ["DataError", "Interpreter", "ModelError", "NluError", "Thresholds", "is_stale", "train"]
