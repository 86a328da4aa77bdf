"""The winner's package: one zip that makes a submission again."""
