"""A site whose connections come from a pool."""
