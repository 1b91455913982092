"""Cluster: studies in PostgreSQL that many machines share: queue, workers, leader, job scripts."""
