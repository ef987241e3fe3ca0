"""What each command does: settings in, words or JSON and an exit status out."""
