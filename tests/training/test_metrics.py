"""Metrics equal scikit-learn's, and can be reduced over processes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, recall_score, top_k_accuracy_score

from lolvit_training.distributed import ProcessGroup
from lolvit_training.metrics import ClassificationMetrics

CLASSES = 7


def sample(seed: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(images) % CLASSES)
    return generator.normal(size=(images, CLASSES)) * 3, labels


@given(st.integers(0, 1000), st.integers(20, 90))
def test_metrics_equal_scikit_learn(seed: int, images: int) -> None:
    logits, labels = sample(seed, images)
    metrics = ClassificationMetrics(CLASSES)
    metrics.update(logits, labels)
    score = metrics.compute(tuple("abcdefg"))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    names = list(range(CLASSES))
    assert score.images == images
    assert score.top1 == pytest.approx(accuracy_score(labels, logits.argmax(1)), abs=1e-12)
    top5 = top_k_accuracy_score(labels, logits, k=5, labels=names)
    assert score.top5 == pytest.approx(top5, abs=1e-12)
    assert score.loss == pytest.approx(log_loss(labels, chances, labels=names), rel=1e-9)
    recalls = recall_score(labels, logits.argmax(1), labels=names, average=None)
    assert [entry.recall for entry in score.per_class] == pytest.approx(list(recalls))


@given(st.integers(0, 1000), st.integers(1, 5))
def test_metrics_of_shards_reduce_to_those_of_the_whole(seed: int, processes: int) -> None:
    import torch

    logits, labels = sample(seed, 40)
    whole = ClassificationMetrics(CLASSES)
    whole.update(logits, labels)
    sums = np.zeros_like(whole.state())
    seen: list[int] = []
    for rank in range(processes):
        shard = ProcessGroup(rank, processes, torch.device("cpu"), False).shard(list(range(40)))
        seen += shard
        part = ClassificationMetrics(CLASSES)
        part.update(logits[shard], labels[shard])
        sums += part.state()
    assert sorted(seen) == list(range(40))
    together, alone = ClassificationMetrics.from_state(sums), whole
    assert np.array_equal(together.confusion, alone.confusion)
    assert together.top5 == alone.top5 and together.loss == pytest.approx(alone.loss, rel=1e-12)


def test_top5_is_null_for_five_classes_or_fewer() -> None:
    metrics = ClassificationMetrics(5)
    metrics.update(np.eye(5), np.arange(5))
    assert metrics.compute(tuple("abcde")).top5 is None


def test_constant_logits_get_no_top5_hit() -> None:
    metrics = ClassificationMetrics(CLASSES)
    metrics.update(np.zeros((4, CLASSES)), np.array([3, 4, 5, 6]))
    score = metrics.compute(tuple("abcdefg"))
    assert (score.top1, score.top5) == (0, 0)
