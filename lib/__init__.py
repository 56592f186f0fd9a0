"""Teaching language models to use tools by learning from the failed branches of search trees."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")   # MLflow reads it when it is first imported
