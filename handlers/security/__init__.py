"""What guards large payments."""
