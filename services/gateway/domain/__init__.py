"""Pure rules of the gateway: what JSON fits a message, and what makes a cluster unhealthy."""
