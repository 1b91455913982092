"""One trainer, exporter, data source, loss, diagnostic and set of lint rules, a module each."""
