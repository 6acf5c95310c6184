"""Metrics of one's own, as modules of `src/own`: known ones among them, said a second time."""

COST = '''
import numpy as np


class Cost:
    """A miss costs ten, a false alarm one."""

    judges = "labels"
    tasks = ("binary",)
    greater_is_better = False
    scale = "error"

    def per_row(self, truth, labels):
        return np.where((labels == 0) & (truth == 1), 10.0, (labels == 1) & (truth == 0))
'''

KNOWN = """
import numpy as np
from sklearn import metrics


class LogLoss:
    judges, greater_is_better, scale = "scores", False, "error"

    def per_row(self, truth, scores):
        given = scores[np.arange(len(truth)), truth] / scores.sum(axis=1)
        return -np.log(np.clip(given, np.finfo(np.float32).eps, 1))


class Accuracy:
    judges, greater_is_better, scale = "labels", True, "share"

    def per_row(self, truth, labels):
        return truth == labels


class Pinball90:
    judges, greater_is_better, scale = "values", False, "error"

    def per_row(self, truth, values):
        return np.maximum(0.9 * (truth - values), -0.1 * (truth - values))


class RocAuc:
    judges, greater_is_better, scale, ranks, tasks = "scores", True, "share", True, "binary"

    def overall(self, truth, scores):
        return metrics.roc_auc_score(truth, scores[:, 1]) if len(set(truth)) > 1 else np.nan


class AveragePrecision:
    judges, greater_is_better, scale, ranks, tasks = "scores", True, "share", True, "binary"

    def overall(self, truth, scores):
        return metrics.average_precision_score(truth, scores[:, 1])


class F1:
    judges, greater_is_better, scale, tasks = "labels", True, "share", "binary"

    def overall(self, truth, labels):
        return metrics.f1_score(truth, labels, zero_division=0.0)


class Ks:
    judges, greater_is_better, scale, ranks, tasks = "scores", True, "share", True, "binary"

    def overall(self, truth, scores):
        alarms, hits, _ = metrics.roc_curve(truth, scores[:, 1])
        return float(np.max(np.abs(hits - alarms)))


class Rmse:
    judges, greater_is_better, scale = "values", False, "error"

    def overall(self, truth, values):
        return np.sqrt(np.mean((truth - values) ** 2))


class R2:
    judges, greater_is_better, scale = "values", True, "explained"

    def overall(self, truth, values):
        return metrics.r2_score(truth, values)
"""
