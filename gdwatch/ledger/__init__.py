"""The ledger: tables, schema, connection, transactions, and what is asked of it."""
