"""What a request costs, measured from outside: the gateway beside other proxies that do the same work, in one run."""
