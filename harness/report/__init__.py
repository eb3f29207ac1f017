"""What people and machines read of a run: console, HTML, JUnit, JSON.

`write.write_reports(run_folder)` makes the files from the folder alone, `console.LiveTrials` shows
trials while they run, `summary.print_summary` prints the table at the end. Nothing here judges.
"""
