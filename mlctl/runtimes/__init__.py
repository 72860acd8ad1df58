"""What runs replicas: processes today. Used by control."""
