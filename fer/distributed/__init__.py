"""Labels many files with many workers, on one machine or on several, through Ray: rows become Parquet parts."""
