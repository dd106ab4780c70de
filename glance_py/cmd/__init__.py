"""The commands, one module each: arguments in, exit codes out.

What they do is done elsewhere; only what concerns a terminal or a process is here.
"""
