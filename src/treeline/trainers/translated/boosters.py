"""XGBoost on Spark: its boosters are those of XGBoost anywhere, so the bytes are taken over."""

from typing import Any

from xgboost import XGBClassifier, XGBRegressor


def classes(model: Any, width: int) -> XGBClassifier:
    """Return the XGBClassifier with the booster of a SparkXGBClassifier's model."""
    plain = XGBClassifier(n_jobs=1)
    plain.load_model(_booster(model))
    return plain


def values(model: Any, width: int) -> XGBRegressor:
    """Return the XGBRegressor with the booster of a SparkXGBRegressor's model."""
    plain = XGBRegressor(n_jobs=1)
    plain.load_model(_booster(model))
    return plain


def _booster(model: Any) -> bytearray:
    payload: bytearray = model.get_booster().save_raw("ubj")
    return payload
