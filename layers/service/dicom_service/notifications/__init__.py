"""Notifications: exams announced once, events published in order, webhooks delivered."""
