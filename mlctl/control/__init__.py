"""The daemon: reconciles the registry with what runs. Started by ops.daemon as `python -m mlctl.control`."""
