"""The operator: turns ParticipantEgress and TrackCompositeEgress into recorder Jobs and mirrors them into status."""
