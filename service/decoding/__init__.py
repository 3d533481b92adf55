"""Who decodes: threads or processes, within a budget of memory."""
