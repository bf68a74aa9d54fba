"""Campaigns on segments: audiences, triggers on membership events, and webhooks."""
