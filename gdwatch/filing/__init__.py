"""From decision to filed photograph: record, choose a path, move, mark. Only here files move."""
