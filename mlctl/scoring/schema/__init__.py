"""What `inference_schema` offers scripts where it is not installed; rules as of version 1.8. Loaded by `v1_shim`."""
