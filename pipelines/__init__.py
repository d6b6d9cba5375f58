"""How it runs: definitions, settings, resources, jobs, schedules, commands, source clients, lake and sandbox."""
