"""The portal: pages for people on the admin port. What do I call, how, and is it well? No keys, no scripts."""
