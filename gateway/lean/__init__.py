"""Parts of large packages, imported without the rest of them."""
