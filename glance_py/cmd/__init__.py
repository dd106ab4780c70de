"""The commands: they read arguments and the configuration, call one package and print."""
