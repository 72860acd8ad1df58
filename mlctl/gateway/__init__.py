"""Envoy's configuration: rendered, published and watched. Used by control."""
