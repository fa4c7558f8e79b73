"""Device keys in the operating system's keyring: the extra ``twinlock[keyring]``."""
