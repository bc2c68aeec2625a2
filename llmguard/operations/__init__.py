"""What can be done with a log and a guard beside calling it: the rules behind each command.

Each operation is one public function that returns a frozen dataclass, whose `to_json()` is what the command prints with
`--json`. The command line, pages and Python programs call the same functions.

Reading order: `find_guard` and `logs` (which guard, which log), `outcome_json` (the JSON of an outcome), `calls` (list,
show, follow and sum up calls), `review_queue` and `review_import` (reviews), then one module or package for each command:
`export` with `datasets`, `promotion`, `schemas`, `prompt_preview`, `diagnosis`, `mutation/`, `backtest/`, `certify/`.
"""
