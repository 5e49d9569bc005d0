"""What others write for the same job: minimal applications that do what they say, measured beside ours."""
