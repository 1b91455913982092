"""Engine: sessions that train trials within a budget and survive what goes wrong."""

__all__ = [
    "flops",
    "forecast",
    "identity",
    "measurement_cache",
    "open_session",
    "options",
    "process_launch",
    "run_lookup",
    "scheduler",
    "session",
    "status",
]
