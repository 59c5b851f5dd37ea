"""What every endpoint shares, and knows no noun of ours: bodies, pages, versions, keys, access, the description."""
