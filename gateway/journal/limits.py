"""The limits of a journal, each with its ending.

Knows numbers only.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """Every bound of one feed's journal. The defaults fit a full market feed on one disk."""

    # What a loss of power may take; the upstream replays it. Smaller costs disk, not messages.
    fsync_interval_s: float = 0.1
    # An fsync that takes longer refuses further commits (JournalBusy): bounds what loss of power may take.
    stall_max_s: float = 5.0
    # How long a commit waits while the log is being emptied; then it is refused (JournalBusy).
    busy_wait_s: float = 0.05
    # How long a new session waits for its file to be on the disk; then it is refused (JournalBusy).
    roll_wait_s: float = 0.5
    # Appended but not committed: at this size `append` commits by itself.
    pending_bytes_max: int = 8 << 20
    # After this many bytes the write-ahead log is copied into the main file, beside the writer.
    checkpoint_bytes: int = 8 << 20
    # A log that has still grown to this, because the writer never paused, is emptied while commits wait.
    empty_log_bytes: int = 128 << 20
    # A log that has grown to this on a slow disk refuses commits (JournalBusy) until it is emptied.
    log_bytes_max: int = 1 << 30
    # On open, this much of the newest session's end is checked; smaller files are checked whole.
    check_on_open_bytes: int = 8 << 20
    # Sessions kept open for readers; the one not read for longest is closed.
    open_files_max: int = 8
    # Retention: ended sessions go when older, or when all together are larger. None keeps them.
    keep_age_s: float | None = None
    keep_bytes: int | None = None
