"""Evidence against its trials, the recipe, the rules, the code and the data."""
