"""Flags and arguments of the commands, a module for each module of commands.

Help and the reading of a command line import these alone: nothing here may import what a command works with.
"""
