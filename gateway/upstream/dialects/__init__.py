"""How each provider's wire differs from the client's. One file a dialect; see docs/how-to/add-a-provider.md."""
