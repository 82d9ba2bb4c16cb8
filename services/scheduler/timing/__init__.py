"""When things will run: calendars, schedules checked and looked at in advance, the whole cluster's forecast."""
