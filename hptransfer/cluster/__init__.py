"""Cluster: studies that many machines share, on a PostgreSQL server.

study       a recipe's study on a server: its terms, its lock, its database; `open_store`: trials by the scheme of an
            address
postgres    addresses of servers, connections, and their faults in words
queue       tasks that workers pull, each recorded once
queue_pool  the queue behind the interface of a pool of processes
worker      pulls tasks and trains them; `result_spool` keeps results until they are delivered
leader      a worker that starts the coordinating command
sbatch      Slurm array scripts of workers
"""

__all__ = ["leader", "postgres", "queue", "queue_pool", "sbatch", "study", "worker"]
