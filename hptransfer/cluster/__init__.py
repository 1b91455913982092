"""Cluster: studies in PostgreSQL that many machines share: queue, workers, leader, job scripts."""

__all__ = ["leader", "postgres", "queue", "queue_pool", "sbatch", "stores", "study", "worker"]
