"""Writes that are done once, on each database."""

from tests.contract.dal.answer_cases import AnswerCases
from tests.contract.dal.backends import MariaDB, PostgreSQL, SQLite


class TestAnswersOnSQLite(AnswerCases, SQLite):
    pass


class TestAnswersOnPostgreSQL(AnswerCases, PostgreSQL):
    pass


class TestAnswersOnMariaDB(AnswerCases, MariaDB):
    pass
