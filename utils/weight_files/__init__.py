"""Weight files of other projects, read as data: nothing in a file is executed, and nothing is believed unchecked."""
