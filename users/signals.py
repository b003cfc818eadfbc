"""What users tells whoever wants to know."""

from django.dispatch import Signal

# Sent after follows were written past the ORM's own signals, inside the transaction that wrote
# them. Arguments: follower_ids, the ids of the users whose follows changed.
follows_loaded = Signal()
