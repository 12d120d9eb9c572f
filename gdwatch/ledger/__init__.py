"""The ledger: tables, schema versions, connections, transactions and queries."""
