"""What happened and what it cost, in a database: tables, the writer with its group commit, queries, and stored keys."""
