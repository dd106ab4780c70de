"""One suite for every DAL.

``*_cases`` say what a DAL must do, without naming a product; ``backends`` make
scratch databases; ``test_*`` bring the two together.
"""
