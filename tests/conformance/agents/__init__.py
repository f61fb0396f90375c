"""The scripts that run inside the SDKs' environments; only `saying` is imported here, for its mark."""
