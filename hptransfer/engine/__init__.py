"""Engine: sessions that train trials within a budget and survive what goes wrong."""

__all__ = [
    "events",
    "flops",
    "forecast",
    "measurement_cache",
    "options",
    "prestart",
    "process_launch",
    "run_lookup",
    "scheduler",
    "session",
    "status",
]
