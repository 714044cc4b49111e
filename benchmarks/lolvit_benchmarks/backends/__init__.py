"""The devices on which models are compared, behind the interfaces in `backend.py`."""
