"""A project that adds an entry of each kind to hptransfer from outside."""
