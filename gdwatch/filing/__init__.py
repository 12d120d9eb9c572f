"""Decisions become rows, and files move: record, place, move, mark. Only here do files move."""
