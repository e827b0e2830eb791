#!/bin/sh
# Starts the job tracker. What it needs of the environment is exported here.
exec python3 /usr/lib/hadoop-0.20-mapreduce/bin/job-tracker
