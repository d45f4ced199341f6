"""What surrounds a run: its out_dir, record, log, child processes and signals?"""
