"""Engine: sessions that train trials within a budget and survive what goes wrong."""
