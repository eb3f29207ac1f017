"""The trials of one command: chosen, prepared, carried out, stored, and judged again."""
